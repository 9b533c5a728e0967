"""A physical variable of a process: its name, units and behaviour under time reversal."""

import dataclasses
import re

__all__ = ["Variable", "axis_label", "reciprocal_units", "typeset_units"]

SYMBOLS = {"um": "µm", "us": "µs", "radian": "rad", "radians": "rad", "degree": "°", "degrees": "°"}
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def reciprocal_units(units: str) -> str:
    """Return one over some units, both as CF writes them.

    Arguments:
        units: Units, ``"1"`` when dimensionless.
    """
    if units == "1":
        return units
    return f"{units}-1" if units.isalpha() else f"({units})-1"


def typeset_units(units: str) -> str:
    """Return units as people read them: ``"um s-1"`` as ``"µm s⁻¹"``.

    Arguments:
        units: Units as CF writes them.
    """
    named = re.sub(r"[A-Za-z]+", lambda word: SYMBOLS.get(word[0], word[0]), units)
    return re.sub(r"(?<=[^\W\d_]|[)\]°])-?\d+", lambda power: power[0].translate(SUPERSCRIPTS), named)


def axis_label(text: str, units: str) -> str:
    """Return the label of an axis: what it shows, and its units in brackets where it has any.

    Arguments:
        text: What it shows.
        units: Units as CF writes them, ``"1"`` when dimensionless.
    """
    return text if units == "1" else f"{text} [{typeset_units(units)}]"


@dataclasses.dataclass(frozen=True)
class Variable:
    """A physical variable of a process: one component of its state.

    Arguments:
        name: Name of the variable in datasets, a Python identifier.
        units: Units as CF writes them, ``"1"`` when dimensionless.
        long_name: Description for people.
        symbol: LaTeX symbol for figures, without dollar signs; the name when empty.
        parity: Sign under time reversal, 1 for what stays (positions, angles), -1 for what turns round (velocities).
            Only quantities that compare a path with its reverse, as entropy production, depend on it.

    Raises:
        ValueError: If the name is no identifier or the parity neither 1 nor -1.
    """

    name: str
    units: str = "1"
    long_name: str = ""
    symbol: str = ""
    parity: int = 1

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"`name` must be a Python identifier; got {self.name!r}.")
        if self.parity not in (1, -1):
            raise ValueError(f"`parity` must be 1 (even under time reversal) or -1 (odd); got {self.parity!r}.")

    @property
    def label(self) -> str:
        """The axis label of the variable: symbol and units."""
        return axis_label(f"${self.symbol or self.name}$", self.units)
