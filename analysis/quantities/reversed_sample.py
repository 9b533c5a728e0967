"""Simulated states beside those that a score makes, run backwards: distances block by block.

Of each block the reversed states are held against as many simulated ones; the ``floor`` is the same distance between
two sets of simulated states, of which a reversal by the exact score could not be told apart.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from analysis.quantities.blocks import Block, Sums
from analysis.quantities.path_means import PathMeans
from analysis.quantities.quantity import Estimator, Subject
from physcore.diffusivity import check_additive
from physcore.process import Process
from physcore.trajectory import frames

__all__ = ["ReversedSample", "beside_floor", "beside_reversed", "check_reversible"]

LEAST_STATES = 8  # of a block, below which a distance says nothing


def check_reversible(process: Process, components: Sequence[int]) -> None:
    """Refuse a process or a score that cannot be run backwards.

    Arguments:
        process: The process.
        components: Components that the learned score holds.

    Raises:
        ValueError: If noise depends on the state, or driven components are missing.
    """
    check_additive(process)
    missing = [process.variables[i].name for i in process.driven if i not in components]
    if missing:
        raise ValueError(f"a reversal needs the driven components of the score; it does not hold {missing}.")


def beside_floor(dataset: xr.Dataset) -> xr.Dataset:
    """Return a distance and its floor as two entries of one value, for a table.

    Arguments:
        dataset: The distance, with its floor.
    """
    floor = dataset[["floor", "floor_standard_error"]].rename(floor="value", floor_standard_error="standard_error")
    pair = [dataset[["value", "standard_error"]], floor]
    labels = xr.DataArray(["simulated and reversed", "simulated twice"], dims="samples")
    return xr.concat(pair, labels, combine_attrs="override")


class ReversedSample:
    """The reversed states that stand beside each block of paths.

    Arguments:
        subject: What is compared.
        name: Name of a score by which states were run backwards.
    """

    def __init__(self, subject: Subject, name: str) -> None:
        made = subject.reversed[name]
        self.times = np.asarray(made["time"].values, dtype=np.float64)
        self.held = int(made.attrs.get("held", 0))
        self._states = frames(subject.process, made, torch.float64)
        self._paths = subject.trajectories.sizes["path"]

    def all_at(self, index: int) -> Tensor:
        """Return all states at one of the times, shape ``(path, component)``."""
        return self._states[index]

    def beside(self, block: Block, index: int) -> Tensor:
        """Return the reversed states of a block at one of the times, shape ``(path, component)``."""
        edges = (end * self._states.shape[1] // self._paths for end in (block.paths.start, block.paths.stop))
        return self._states[index, slice(*edges)]


def beside_reversed(
    subject: Subject,
    name: str,
    scales: Mapping[str, float] | None,
    distance: Callable[[Tensor, Tensor], Tensor],
    title: str,
) -> Estimator | None:
    """Return how a distance between simulated and reversed states is estimated.

    Arguments:
        subject: What is compared.
        name: Name of the score; there is no estimator for one by which nothing was run backwards.
        scales: Lengths to measure variables in, by name; the standard deviation of a variable where not given.
        distance: From two sets of states ``(path, component)``, as many of each, to a number.
        title: What the value is.
    """
    if name not in subject.reversed:
        return None
    sample = ReversedSample(subject, name)
    times = sample.times[:-1]  # at the last time the states are simulated ones
    spread = sample.all_at(len(times)).std(0)
    names = [variable.name for variable in subject.process.variables]
    lengths = torch.tensor([(scales or {}).get(one, float(spread[i])) for i, one in enumerate(names)]).double()

    def work(block: Block) -> Sums:
        sums = np.zeros((2, 3, len(times)))
        for frame in block:
            made, found = sample.beside(block, frame.index) / lengths, frame.states / lengths
            count = min(len(made), len(found) // 2)
            if count >= LEAST_STATES:
                apart = distance(found[:count], made[:count]), distance(found[:count], found[count : 2 * count])
                values = torch.stack(apart).double().numpy()
                sums[:, :, frame.index] = np.stack([np.ones(2), values, values**2], -1)
        return sums

    def dataset(sums: Sums, _: int) -> xr.Dataset:
        value, floor = (PathMeans.of(part) for part in sums)
        between = "between two sets of simulated states"
        variables = {
            "value": (value.value, f"{title} between simulated and reversed states"),
            "standard_error": (value.standard_error, "standard error of value"),
            "floor": (floor.value, f"{title} {between}"),
            "floor_standard_error": (floor.standard_error, "standard error of floor"),
        }
        return xr.Dataset(
            {key: ("time", values, {"long_name": text, "units": "1"}) for key, (values, text) in variables.items()},
            {"time": ("time", times, {"long_name": "time", "units": subject.process.time_units})},
            {
                "blocks": int(sums[0, 0].max(initial=0)),
                "held": sample.held,
                "scales": ", ".join(f"{one} {length:.6g}" for one, length in zip(names, lengths.tolist(), strict=True)),
            },
        )

    return Estimator(times, work, dataset)
