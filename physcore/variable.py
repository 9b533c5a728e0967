"""A physical variable of a process: its name, units and behaviour under time reversal."""

import dataclasses

__all__ = ["Variable"]


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
        symbol = self.symbol or self.name
        return f"${symbol}$" if self.units == "1" else f"${symbol}$ [{self.units}]"
