r"""Bins of one or two variables, and what paths have in them: densities, means and fluxes.

With :math:`|B|` the volume of a bin, a value :math:`a` carried by the paths has the mean :math:`E[a \,|\, X \in B]` in
it and the flux :math:`E[a\,1_B(X)] / |B|`; the density is the flux of one.

Source: standard error of a ratio: Cochran, Sampling Techniques (1977), section 6.4.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from analysis.quantities.blocks import Sums
from physcore.process import Process
from physcore.trajectory import frames
from physcore.variable import reciprocal_units

__all__ = ["Bins", "Edges", "checked_plane"]

Edges = Sequence[NDArray[np.float64]]

SEEN = 0.0005  # of the states lie beyond the bins on either side
PATHS_LOOKED_AT = 4096


def checked_plane(process: Process, variables: Sequence[str] | None, bins: int) -> list[str]:
    """Return the one or two variables to bin, the first ones when None.

    Arguments:
        process: The process.
        variables: Their names.
        bins: Number of bins along each.

    Raises:
        ValueError: If they are not one or two different variables, or the bins fewer than two.
    """
    names = [variable.name for variable in process.variables]
    chosen = names[:2] if variables is None else list(variables)
    unknown = [name for name in chosen if name not in names]
    if unknown or not 1 <= len(set(chosen)) == len(chosen) <= 2:
        raise ValueError(f"`variables` must be one or two different of {names}; got {chosen}.")
    if bins < 2:
        raise ValueError(f"`bins` must be at least 2; got {bins}.")
    return chosen


@dataclasses.dataclass(frozen=True)
class Bins:
    """Bins of one or two variables.

    Arguments:
        process: The process.
        names: Names of the variables.
        sides: Increasing edges, an array for each of them.

    Raises:
        ValueError: If edges and variables do not fit.
    """

    process: Process
    names: Sequence[str]
    sides: Edges

    def __post_init__(self) -> None:
        known = [variable.name for variable in self.process.variables]
        if not 1 <= len(self.sides) <= 2 or not len(self.names) == len(self.sides) == len(set(self.names)):
            raise ValueError(
                f"`edges` must be given for one or two different variables; got {len(self.sides)} for "
                f"{list(self.names)}."
            )
        unknown = [name for name in self.names if name not in known]
        if unknown:
            raise ValueError(f"`variables` names {unknown}; the process has {known}.")
        for name, side in zip(self.names, self.sides, strict=True):
            if side.ndim != 1 or len(side) < 2 or not np.isfinite(side).all() or np.any(np.diff(side) <= 0):
                raise ValueError(f"`edges` of {name!r} must be two or more increasing numbers; got {side!r}.")

    @classmethod
    def around(
        cls, process: Process, trajectories: xr.Dataset, times: NDArray[np.float64], names: Sequence[str], bins: int
    ) -> "Bins":
        """Return equal bins around the states of some paths at some times.

        Arguments:
            process: The process.
            trajectories: Dataset with dimensions ``path`` and ``time``.
            times: Saved times.
            names: One or two variables.
            bins: Number of bins along each.
        """
        part = trajectories.isel(path=slice(PATHS_LOOKED_AT)).sel(time=times, method="nearest")
        states = frames(process, part, torch.float64).flatten(0, 1).numpy()
        known = [variable.name for variable in process.variables]
        sides = []
        for name in names:
            low, high = np.quantile(states[:, known.index(name)], [SEEN, 1 - SEEN])
            margin = 0.02 * (high - low) or 0.5
            sides.append(np.linspace(low - margin, high + margin, bins + 1))
        return cls(process, list(names), sides)

    @property
    def indices(self) -> list[int]:
        """Indices of the variables among the components."""
        known = [variable.name for variable in self.process.variables]
        return [known.index(name) for name in self.names]

    @property
    def counts(self) -> list[int]:
        """Number of bins along each variable."""
        return [len(side) - 1 for side in self.sides]

    @property
    def volume(self) -> NDArray[np.float64]:
        """Volume of each bin, shape ``(bin,)``."""
        volume = np.ones(1)
        for side in self.sides:
            volume = (volume[:, None] * np.diff(side)).ravel()
        return volume

    def sums(self, states: Tensor, values: Tensor, known: Tensor) -> Sums:
        """Return for each bin how many states it holds, and of every value its sum and its sum of squares.

        Arguments:
            states: States, shape ``(path, component)``.
            values: Values of each path, shape ``(path, value)``.
            known: Which paths count, shape ``(path,)``.

        Returns:
            Shape ``(1 + 2 value, bin)``.
        """
        place, inside = self._placed(states[:, self.indices].numpy())
        inside &= known.numpy()
        weights = [np.ones(len(place))]
        for column in values.numpy().T:
            weights += [column, column**2]
        bins = int(np.prod(self.counts))
        return np.stack([np.bincount(place[inside], weight[inside], bins) for weight in weights])

    def _placed(self, states: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.bool]]:
        """Return the bin of each state and whether it lies in any."""
        place, inside = np.zeros(len(states), dtype=np.intp), np.ones(len(states), dtype=bool)
        for column, side in zip(states.T, self.sides, strict=True):
            index = np.searchsorted(side, column, side="right") - 1
            inside &= (index >= 0) & (index < len(side) - 1)
            place = place * (len(side) - 1) + np.clip(index, 0, len(side) - 2)
        return place, inside

    def means(self, sums: Sums) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the means in the bins and their standard errors.

        Arguments:
            sums: Sums as ``sums`` returns them, shape ``(1 + 2 value, ..., bin)``.

        Returns:
            Two arrays of shape ``(value, ..., bin)``; NaN in a bin without a state, the error in one without two.
        """
        count, first, second = sums[0], sums[1::2], sums[2::2]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = first / count
            scatter = np.maximum(second - mean**2 * count, 0.0)  # of the values about their mean in the bin
            return mean, np.where(count > 1, np.sqrt(scatter / (count - 1) / count), np.nan)

    def fluxes(self, sums: Sums, paths: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the fluxes of the values and their standard errors, shapes ``(value, ..., bin)``.

        Arguments:
            sums: Sums as ``sums`` returns them, shape ``(1 + 2 value, ..., bin)``.
            paths: Number of paths in all.
        """
        first, second = sums[1::2], sums[2::2]
        error = np.sqrt(np.maximum(second / paths - (first / paths) ** 2, 0.0) / max(1, paths - 1))
        return first / paths / self.volume, error / self.volume

    def density(
        self, count: NDArray[np.float64], paths: int | NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the density and its standard error, shapes of ``count``.

        Arguments:
            count: Number of states in each bin, shape ``(..., bin)``.
            paths: Number of paths in all.
        """
        share = count / paths
        return share / self.volume, np.sqrt(share * (1 - share) / np.maximum(1, np.asarray(paths) - 1)) / self.volume

    def shaped(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of bins with an axis for each variable in place of the last one."""
        return values.reshape(*values.shape[:-1], *self.counts)

    def coordinates(self, times: NDArray[np.float64]) -> Mapping[str, tuple[str, NDArray[np.float64], dict[str, str]]]:
        """Return the times and the centres of the bins, with their units and symbols."""
        centres = {
            name: (
                name,
                (side[1:] + side[:-1]) / 2,
                {
                    "units": self.process.variables[i].units,
                    "symbol": self.process.variables[i].symbol or name,
                    "long_name": self.process.variables[i].long_name or name,
                },
            )
            for name, side, i in zip(self.names, self.sides, self.indices, strict=True)
        }
        return {"time": ("time", times, {"long_name": "time", "units": self.process.time_units}), **centres}

    @property
    def density_units(self) -> str:
        """Units of a density of the variables."""
        units = [self.process.variables[i].units for i in self.indices]
        return " ".join(reciprocal_units(unit) for unit in units if unit != "1") or "1"
