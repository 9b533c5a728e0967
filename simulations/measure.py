r"""The verb ``measure``: means over paths of functions of the state, reduced while the paths are simulated.

.. math:: \bar a(t) = \frac1N \sum_{n=1}^N a\left(X^{(n)}_t\right), \qquad
          \sigma_{\bar a} = \sqrt{\frac{1}{N (N - 1)} \sum_{n=1}^N \left(a\left(X^{(n)}_t\right) - \bar a\right)^2}

No trajectory is kept: memory is bounded by a block, however many paths there are.

Source of the merged moments: Chan, Golub and LeVeque, Algorithms for computing the sample variance (1983).
"""

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from physcore.communicator import Communicator, SerialCommunicator
from physcore.contract import check_contract
from physcore.errors import NumericalError
from physcore.process import Process
from physcore.registry import build
from physcore.stepping import Threads
from physcore.stopping import NEVER, StopRequest
from physcore.streams import random_seed, validated_seed
from simulations.block import BlockSimulator, group_size
from simulations.pipeline import computed
from simulations.recording import attributes, progress
from simulations.simulation import Simulation

__all__ = ["measure"]

Observable = Callable[[Tensor], Tensor]


def measure(
    process: Process,
    observables: Mapping[str, Observable],
    simulation: Simulation,
    *,
    seed: int | None = None,
    device: str | torch.device = "cpu",
    communicator: Communicator | None = None,
    stop: StopRequest = NEVER,
) -> xr.Dataset:
    """Simulate independent paths of a process and keep only the means of functions of their states.

    Arguments:
        process: The process.
        observables: Functions by name, from states ``(path, component)`` in float64 to ``(path,)``.
        simulation: Settings of the simulation; what it saves is what is measured here.
        seed: Seed, 0 <= seed < 2^64; drawn and stored when None. The paths are those of ``simulate``.
        device: Where the steps are computed.
        communicator: Ranks that share the blocks; the result is the same for any number of them, on every rank.
        stop: Asked before each block.

    Returns:
        ``value`` and ``standard_error`` with dimensions ``observable`` and ``time``.

    Raises:
        ValueError: If there is one path alone, no observable, or one that returns another shape.
        NumericalError: If a path diverges or an observable is not finite.
        Stopped: If a stop was requested; nothing is kept.
    """
    if simulation.paths < 2 or not observables:
        raise ValueError(
            f"a mean needs 2 paths and one observable at least; got {simulation.paths} and {len(observables)}."
        )
    communicator = communicator or SerialCommunicator()
    check_contract(process, simulation.dtype, simulation.start, group_size)
    with Threads() as threads:
        simulator = BlockSimulator(
            process=process,
            scheme=build("physcore.schemes", simulation.scheme, {}),
            simulation=simulation.sized(process.dimension),
            seed=validated_seed(communicator.broadcast(random_seed() if seed is None else seed)),
            device=torch.device(device),
            threads=threads,
        )
        total = _reduced(simulator, observables, communicator, stop)
    variables = {"value": total.mean, "standard_error": np.sqrt(total.squares / (total.count * (total.count - 1)))}
    return xr.Dataset(
        {name: (("observable", "time"), values) for name, values in variables.items()},
        {"observable": list(observables), "time": ("time", simulation.times, {"units": process.time_units})},
        {**attributes(simulator), "paths": simulation.paths},
    )


@dataclasses.dataclass(frozen=True)
class _Moments:
    """Sufficient statistics of some paths.

    Arguments:
        count: Number of paths.
        mean: Their mean, shape ``(observable, time)``.
        squares: Sum of squared deviations from it, same shape.
    """

    count: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    def merged(self, other: "_Moments") -> "_Moments":
        """Return the statistics of both together."""
        count, apart = self.count + other.count, other.mean - self.mean
        mean = self.mean + apart * (other.count / count)
        return _Moments(count, mean, self.squares + other.squares + apart**2 * (self.count * other.count / count))


def _reduced(
    simulator: BlockSimulator, observables: Mapping[str, Observable], communicator: Communicator, stop: StopRequest
) -> _Moments:
    """Return the statistics of all paths, merged block by block so that ranks do not matter."""
    settings = simulator.simulation

    def tasks() -> Iterator[tuple[int, int]]:
        for block in progress(list(communicator.share(settings.blocks)), communicator):
            if stop.requested:
                return
            yield from ((block, segment) for segment in range(settings.segments))

    columns: dict[int, list[list[tuple[float, float]]]] = collections.defaultdict(list)
    for block, _, frames in computed(simulator, tasks()):
        for frame in frames.unbind(1):
            states = frame.T.double()
            columns[block].append([_observed(name, function, states) for name, function in observables.items()])
    stop.check("the simulation", communicator.any(stop.requested))
    mine = {block: _moments(len(settings.block_paths(block)), measured) for block, measured in columns.items()}
    parts = {block: moments for part in communicator.gather(mine) for block, moments in part.items()}
    total: _Moments = functools.reduce(_Moments.merged, (parts[block] for block in sorted(parts)))
    return total


def _moments(count: int, columns: list[list[tuple[float, float]]]) -> _Moments:
    """Return the statistics of a block of means and squares, frame by frame and observable by observable."""
    means, squares = (np.array([[pair[i] for pair in column] for column in columns]).T for i in (0, 1))
    return _Moments(count, means, squares)


def _observed(name: str, function: Observable, states: Tensor) -> tuple[float, float]:
    """Return mean and sum of squared deviations of an observable over the paths of a block."""
    values = function(states)
    if values.shape != states.shape[:1]:
        raise ValueError(
            f"observable {name!r} must return one number for each path, shape {tuple(states.shape[:1])}; "
            f"got {tuple(values.shape)}."
        )
    if not torch.isfinite(values).all():
        raise NumericalError(f"observable {name!r} is not finite for {int((~torch.isfinite(values)).sum())} paths.")
    mean = values.double().mean()
    return float(mean), float((values.double() - mean).square().sum())
