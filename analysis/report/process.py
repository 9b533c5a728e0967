"""What a page says of the process of a run: equations, parameters, variables and source."""

import dataclasses
import inspect
import sys
from typing import Any

from markupsafe import Markup

from analysis.report.docstrings import Docstring, converted, docstring_of, plain_text
from analysis.report.settings import written
from analysis.report.tables import Table
from physcore.particles import stored_variables
from physcore.process import Process
from physcore.registry import build, load, names
from physcore.storage.manifest import Manifest

__all__ = ["DescribedProcess", "described_process"]

PARITIES = {1: "even", -1: "odd"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DescribedProcess:
    """A process in words, formulas and tables.

    Arguments:
        name: Its registered name.
        process: The process; None if it is not known here or does not take the recorded parameters.
        lead: What it is, in a sentence.
        theory: Equations and what is known of them.
        source: Where it is from.
        parameters: Its parameters.
        variables: Its variables; None where the process is not known.
    """

    name: str
    process: Process | None = None
    lead: str = ""
    theory: Markup | str = ""
    source: Markup | str = ""
    parameters: Table
    variables: Table | None = None


def described_process(manifest: Manifest) -> DescribedProcess:
    """Return what is known of the process of a run.

    Arguments:
        manifest: Manifest of the run.
    """
    if manifest.process not in names("physcore.processes"):
        return DescribedProcess(name=manifest.process, parameters=_parameters(manifest, None))
    kind = load("physcore.processes", manifest.process)
    said = docstring_of(kind)
    module = sys.modules[kind.__module__]
    try:
        process: Process | None = build("physcore.processes", manifest.process, manifest.parameters)
    except (ValueError, TypeError):  # the process was changed since
        process = None
    return DescribedProcess(
        name=manifest.process,
        process=process,
        lead=plain_text(said.summary),
        theory=converted(inspect.cleandoc(module.__doc__ or "")) + converted(said.body),
        source=converted(said.sections.get("Source", "")),
        parameters=_parameters(manifest, said),
        variables=None if process is None else _variables(process),
    )


def _parameters(manifest: Manifest, said: Docstring | None) -> Table:
    meanings = {} if said is None else said.entries
    rows: list[tuple[str, tuple[Any, ...]]] = [
        (name, (written(value), converted(meanings.get(name, "")))) for name, value in manifest.parameters.items()
    ]
    return Table(caption="Parameters", columns=("parameter", "value", "meaning"), rows=rows)


def _variables(process: Process) -> Table:
    driven = _driven(process)
    rows = []
    for item in stored_variables(process):
        variable = item.variable
        drives = "state-dependent" if driven is None else "yes" if any(driven[item.components]) else "no"
        symbol = converted(f":math:`{variable.symbol or variable.name}`")
        said = variable.long_name or variable.name
        rows.append((variable.name, (symbol, said, variable.units, PARITIES[variable.parity], drives)))
    particles = len(range(process.dimension)[stored_variables(process)[0].components])
    caption = f"Variables of each of {particles} particles" if particles > 1 else "Variables"
    columns = ("variable", "symbol", "description", "units", "under time reversal", "driven by noise")
    return Table(caption=caption, columns=columns, rows=rows)


def _driven(process: Process) -> list[bool] | None:
    """Return which components noise acts on; None where that depends on the state."""
    if process.noise_type != "additive":
        return None
    strengths = process.noise_strengths  # the matrix of many particles would not fit
    if strengths is not None:
        return [bool(strength) for strength in strengths != 0]
    driven = set(process.driven)
    return [index in driven for index in range(process.dimension)]
