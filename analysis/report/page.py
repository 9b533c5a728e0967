"""A run as one page: HTML that needs no network, no script and no file beside it."""

import csv
import dataclasses
from pathlib import Path

import jinja2
import numpy as np
import xarray as xr

from analysis.plots import plot_loss_history, plot_trajectories
from analysis.report.destination import mark
from analysis.report.docstrings import docstring_of, plain_text
from analysis.report.figures import EmbeddedFigure, drawn, figures_of
from analysis.report.process import described_process
from analysis.report.provenance import provenance_of, written_time
from analysis.report.results import Results, results_of, score_errors, times_asked_for
from analysis.report.settings import configuration, part_of, settings_table
from analysis.report.stages import Stage, metrics_of, stages_of
from analysis.report.tables import Table
from analysis.rounding import rounded
from physcore.errors import DataFileError
from physcore.process import Process
from physcore.registry import load, names
from physcore.storage.manifest import Manifest
from physcore.storage.run import RunFolder, open_run

__all__ = ["report_page"]

FOLDER = Path(__file__).parent
SHOWN_BYTES = 2**25  # of trajectories in memory for their figure
MOST_READ_BYTES = 2**29  # from files, which are read in blocks of paths
SHOWN_PATHS = 4096
LOSSES = "loss_history"
TRAJECTORIES = "trajectories"


@dataclasses.dataclass(frozen=True)
class Part:
    """A stage in the page.

    Arguments:
        stage: How far it has come.
        facts: The most important of it, by name.
        tables: Its settings and numbers.
        figures: Its figures.
    """

    stage: Stage
    facts: dict[str, str]
    tables: list[Table]
    figures: list[EmbeddedFigure]


def report_page(folder: RunFolder) -> str:
    """Return the page of a run.

    Arguments:
        folder: The run directory.

    Returns:
        HTML. It is the same for the same files: nothing of it depends on the host, the place or the day.

    Raises:
        DataFileError: If it is no run, or one of its files is damaged.
    """
    manifest = folder.manifest
    stages = stages_of(folder, manifest)
    described = described_process(manifest)
    compared = stages["compare"].done
    results = results_of(folder, manifest) if compared else []
    stale = not compared and folder.comparison.exists()
    learned = _learned(folder, manifest, stages["fit"])
    figures = [] if stale else figures_of(folder.figures, [LOSSES] if metrics_of(folder, stages["fit"]) else [])
    of_paths = [figure for figure in figures if Path(figure.name).stem == TRAJECTORIES]
    simulated = _simulated(folder, manifest, stages["simulate"], described.process, of_paths)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html").render(
        mark=mark(manifest),
        name=manifest.process,
        manifest=manifest,
        process=described,
        stages=stages,
        facts=_facts(manifest, results),
        simulated=simulated,
        learned=learned,
        compared=_compared(manifest, stages["compare"]),
        results=results,
        figures=[figure for figure in figures if figure not in of_paths],
        configuration=configuration(manifest),
        provenance=provenance_of(folder, manifest, compared),
    )
    return page.lstrip()


def _facts(manifest: Manifest, results: list[Results]) -> list[tuple[str, str]]:
    """Return what a reader in haste must know."""
    facts = []
    simulation = manifest.simulation
    if "paths" in simulation and "duration" in simulation:
        stored = "" if manifest.blocks else ", none stored"
        facts.append(("Paths", f"{simulation['paths']:,} over a time of {simulation['duration']:g}{stored}"))
    if "scheme" in simulation:
        facts.append(("Scheme", f"{simulation['scheme']}, time step {simulation['dt']:g}"))
    fit = manifest.stages.get("fit")
    if fit is not None:
        facts.append(("Score", f"{fit['objective'].get('name')}, {fit['training'].get('steps'):,} steps"))
    facts += score_errors(results)
    facts.append(("Seed", manifest.seed))
    facts.append(("Begun", written_time(manifest.created_at)))
    return facts


def _simulated(
    folder: RunFolder, manifest: Manifest, stage: Stage, process: Process | None, figures: list[EmbeddedFigure]
) -> Part:
    known = "simulate" in names("physcore.commands") and manifest.blocks
    owner = load("physcore.commands", "simulate").section if known else part_of("online", "simulation")
    table = settings_table("Settings of the simulation", manifest.simulation, owner)
    facts = {}
    scheme = part_of("scheme", str(manifest.simulation.get("scheme")))
    if scheme is not None:
        facts["Scheme"] = plain_text(docstring_of(scheme).summary)
    if not figures and stage.done and manifest.blocks and process is not None:
        figures = _trajectories(folder, manifest, process)
    return Part(stage, facts, [table], figures)


def _trajectories(folder: RunFolder, manifest: Manifest, process: Process) -> list[EmbeddedFigure]:
    """Draw the trajectories of a run that has no figure of them yet, if that is not too much to read."""
    trajectories = open_run(folder.path)
    a_path = trajectories.nbytes / trajectories.sizes["path"]
    block = manifest.simulation["paths_per_block"]
    if a_path * min(block, trajectories.sizes["path"]) > MOST_READ_BYTES:
        return []
    shown = trajectories.isel(path=slice(max(1, min(SHOWN_PATHS, block, int(SHOWN_BYTES / a_path))))).load()
    saved = shown["time"].values
    times = times_asked_for(manifest) or [float(saved[round(part * (len(saved) - 1))]) for part in (0.2, 0.6, 1.0)]
    figure = plot_trajectories(process, shown, sorted(set(times)))
    return [drawn(figure, plot_trajectories, folder.trajectories.name)]


def _learned(folder: RunFolder, manifest: Manifest, stage: Stage) -> Part:
    file, fit = metrics_of(folder, stage), manifest.stages.get("fit")
    history = None if file is None else _history(file)
    facts, tables, figures = {}, [], []
    if fit is not None:
        tables.append(settings_table("Settings of the fit", fit, load("physcore.commands", "fit").section))
        objective = part_of("objective", str(fit["objective"].get("name")))
        if objective is not None:
            facts["Objective"] = plain_text(docstring_of(objective).summary)
    if history is not None and history.sizes["step"]:
        last = history.isel(step=-1)
        facts["Steps"] = f"{int(last['step']):,}, {float(last['elapsed']):.3g} s of training"
        losses = float(last["validation_loss"]), float(last["validation_standard_error"])
        facts["Loss on held-out paths, at the end"] = rounded(*losses) or "not finite"
    if history is not None and history.sizes["step"] > 1:
        figures.append(drawn(plot_loss_history(history), plot_loss_history, folder.metrics.name))
    return Part(stage, facts, tables, figures)


def _compared(manifest: Manifest, stage: Stage) -> Part:
    request, facts = manifest.stages.get("compare"), {}
    if request is None or not stage.done:
        return Part(stage, {}, [], [])
    for reference in request.get("references") or []:
        name = reference if isinstance(reference, str) else str(reference.get("name"))
        kind = part_of("references", name)
        if kind is not None:
            facts[f"Reference {name}"] = plain_text(docstring_of(kind).summary)
    table = settings_table("Settings of the comparison", request, load("physcore.commands", "compare").section)
    return Part(stage, facts, [table], [])


def _history(path: Path) -> xr.Dataset:
    """Read the losses of a fit."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
        columns = {name: np.array([float(row[name]) for row in rows]) for name in (rows[0] if rows else {"step": ""})}
        steps = columns.pop("step")
        return xr.Dataset({name: ("step", column) for name, column in columns.items()}, {"step": steps})
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise DataFileError(f"{path}: cannot be read as the losses of a fit, damaged? ({error})") from error
