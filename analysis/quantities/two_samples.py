"""Two samples side by side: blocks of paths from each, on which a distance is taken again and again.

The distances of independent blocks give the standard error; what a distance of so few paths costs in bias is said where
it is defined.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from analysis.comparison import nearest_saved
from physcore.communicator import Communicator, SerialCommunicator
from physcore.process import Process
from physcore.trajectory import frames, validated_trajectories

__all__ = ["block_distances", "checked_scales", "distance_dataset"]

Distances = NDArray[np.float64]


def block_distances(
    process: Process,
    first: xr.Dataset,
    second: xr.Dataset,
    distance: Callable[[Tensor, Tensor], Tensor],
    *,
    times: Sequence[float] | None,
    blocks: int,
    scales: Mapping[str, float] | None,
    communicator: Communicator | None,
) -> tuple[NDArray[np.float64], Distances]:
    """Return the distances of two samples at some times, block by block.

    Arguments:
        process: The process whose states both hold.
        first: Trajectories with dimensions ``path`` and ``time``.
        second: Trajectories independent of them; of the longer of the two the last paths are left out.
        distance: From two sets of states ``(path, component)``, as many of each, to one or more numbers.
        times: Times saved in both; all of these when None.
        blocks: Number of blocks, at least 2, each of two paths or more.
        scales: Lengths to measure variables in, by name; 1 where not given.
        communicator: Ranks that share the blocks; serial when None.

    Returns:
        The times, and distances of shape ``(block, time, number)``.

    Raises:
        ValueError: If a time is not saved in both, a scale does not fit, or there are too few paths for the blocks.
        NumericalError: If a state is not finite.
    """
    communicator = communicator or SerialCommunicator()
    samples = [validated_trajectories(process, sample) for sample in (first, second)]
    saved = [np.asarray(sample["time"].values, dtype=np.float64) for sample in samples]
    moments = _shared_times(saved, times)
    paths = min(sample.sizes["path"] for sample in samples)
    if not 2 <= blocks <= paths // 2:
        raise ValueError(f"`blocks` must be between 2 and half of the {paths} paths; got {blocks}.")
    known = checked_scales(process, scales)
    lengths = torch.tensor([known.get(variable.name, 1.0) for variable in process.variables], dtype=torch.float64)
    size = paths // blocks

    def distances(block: int) -> Distances:
        rows = []
        for time in moments:
            states = [
                frames(
                    process,
                    sample.isel(path=slice(block * size, (block + 1) * size)).sel(time=[time], method="nearest"),
                    torch.float64,
                )[0]
                for sample in samples
            ]
            rows.append(distance(states[0] / lengths, states[1] / lengths).double().numpy())
        return np.stack(rows)

    return moments, np.stack(communicator.map(distances, blocks))


def distance_dataset(
    process: Process, times: NDArray[np.float64], distances: Mapping[str, Distances], title: str, units: str = "1"
) -> xr.Dataset:
    """Return means over blocks with their standard errors.

    Arguments:
        process: The process.
        times: The times.
        distances: By the name of a variable, shape ``(block, time)``; the first is ``value``.
        title: What the value is.
        units: Its units.
    """
    variables = {}
    for name, values in distances.items():
        error = values.std(0, ddof=1) / np.sqrt(len(values))
        prefix = "" if name == "value" else f"{name}_"
        text = title if name == "value" else f"{title} of two simulated samples"
        variables[name] = ("time", values.mean(0), {"long_name": text, "units": units})
        error_of = {"long_name": f"standard error of {name}", "units": units}
        variables[f"{prefix}standard_error"] = ("time", error, error_of)
    blocks = len(next(iter(distances.values())))
    coordinates = {"time": ("time", times, {"long_name": "time", "units": process.time_units})}
    return xr.Dataset(variables, coordinates, {"blocks": blocks})


def _shared_times(saved: Sequence[NDArray[np.float64]], times: Sequence[float] | None) -> NDArray[np.float64]:
    if times is not None:
        for one in saved:
            wanted = [nearest_saved(one, time) for time in sorted(times)]
        return np.array(wanted)
    shared = [time for time in saved[0] if np.isclose(saved[1], time, rtol=1e-6, atol=1e-9).any()]
    if not shared:
        raise ValueError("the two samples have no saved time in common.")
    return np.array(shared)


def checked_scales(process: Process, scales: Mapping[str, float] | None) -> Mapping[str, float]:
    """Return lengths by the name of a variable, refusing unknown names and lengths that are none.

    Arguments:
        process: The process.
        scales: The lengths; none when None.

    Raises:
        ValueError: If a name is no variable of the process, or a length is not positive and finite.
    """
    names = [variable.name for variable in process.variables]
    for name, length in (scales or {}).items():
        if name not in names:
            raise ValueError(f"`scales` names {name!r}; the variables are {names}.")
        if not (length > 0 and np.isfinite(length)):
            raise ValueError(f"`scales` of {name!r} must be positive and finite; got {length}.")
    return dict(scales or {})
