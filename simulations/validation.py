"""Checks of the numbers that a process or a potential is made of."""

import math

__all__ = ["check_finite", "check_positive"]


def check_positive(**values: float) -> None:
    """Refuse values that are not positive and finite; each is given by its name.

    Raises:
        ValueError: If one is not; it is named.
    """
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"`{name}` must be positive and finite; got {value}.")


def check_finite(**values: float) -> None:
    """Refuse values that are not finite; each is given by its name.

    Raises:
        ValueError: If one is not; it is named.
    """
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"`{name}` must be finite; got {value}.")
