r"""How long a lag may be before the linearised dynamics blow up, and how fast it may change.

Between the wells of a potential small deviations grow like :math:`e^{a t}`, with :math:`a` the largest real part among
the eigenvalues of :math:`\nabla f`. A first-order kernel carries on with the growth at its start for all of the lag,
although the process soon leaves the place, so :math:`h\,a` has to be of order one.

Source: derived.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from physcore.score.kernels import Kernel
from physcore.score.lags.schedule import Pilot

__all__ = ["longest_lags", "shortened", "steady"]

Reals = NDArray[np.float64]

PLACES, STATES = 17, 2048
EIGENVALUES = 2**22  # operations, of the order of the cube of the components for each state
QUANTILE = 0.999  # a bound for all states would be one for the rarest


@torch.no_grad()
def longest_lags(pilot: Pilot, kernel: Kernel | None, growth: float) -> tuple[Reals, Reals]:
    r"""Return the longest lags with :math:`h\,a \le` ``growth`` for all but a thousandth of the states.

    Arguments:
        pilot: Simulated states, of which fewer are looked at in many components.
        kernel: The kernel that is to run over the lags, None for none; what carries no slopes on has no limit.
        growth: Largest power of e.

    Returns:
        Times and lags, as good as infinite where nothing grows.
    """
    frames = np.unique(np.linspace(0, len(pilot.times) - 1, PLACES).round().astype(int))
    times = pilot.times.double().cpu()[torch.from_numpy(frames)]
    if kernel is None or not kernel.extrapolates:
        return times.numpy(), np.full(len(times), _endless(times))
    few = max(16, min(STATES, EIGENVALUES // pilot.process.dimension**3))
    lags = []
    for frame, time in zip(frames, times, strict=True):
        states = pilot.states[frame, :few].double().cpu()
        jacobian = pilot.process.jacobian(states, time.expand(len(states)))
        rates = torch.linalg.eigvals(jacobian).real.amax(-1)
        rate = float(torch.quantile(rates, QUANTILE))
        lags.append(growth / rate if rate > 0 else np.inf)
    return times.numpy(), np.minimum(lags, _endless(times))


def shortened(times: Reals, lags: Reals, limit: tuple[Reals, Reals]) -> Reals:
    """Return lags that are within a limit and steady.

    Arguments:
        times: Times, increasing.
        lags: Lag at each of them.
        limit: Times and longest lags, as of ``longest_lags``.
    """
    return steady(times, np.minimum(lags, np.interp(times, *limit)))


def _endless(times: torch.Tensor) -> float:
    """Return a very long lag in place of an infinite one, which could not be interpolated."""
    return 1e6 * (1 + float(times[-1] - times[0]))


def steady(times: Reals, lags: Reals) -> Reals:
    """Return lags shortened where they would grow faster than time passes, so that no later target starts earlier.

    Arguments:
        times: Times, increasing.
        lags: Lag at each of them.
    """
    starts = times - lags
    return np.asarray(times - np.maximum.accumulate(starts), dtype=np.float64)
