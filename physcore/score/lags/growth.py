r"""How long a lag may be before the linearised dynamics blow up, and how fast it may change.

Between the wells of a potential small deviations grow like :math:`e^{a t}`, with :math:`a` the largest real part among
the eigenvalues of :math:`\nabla f`. A first-order kernel carries on with the growth at its start for all of the lag,
although the process soon leaves the place, so :math:`h\,a` has to be of order one.

Source: derived.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from physcore.score.lags.schedule import Pilot

__all__ = ["longest_lags", "steady"]

Reals = NDArray[np.float64]

PLACES, STATES = 17, 2048
QUANTILE = 0.999  # a bound for all states would be one for the rarest


@torch.no_grad()
def longest_lags(pilot: Pilot, growth: float) -> tuple[Reals, Reals]:
    r"""Return the longest lags with :math:`h\,a \le` ``growth`` for all but a thousandth of the states.

    Arguments:
        pilot: Simulated states.
        growth: Largest power of e.

    Returns:
        Times and lags, infinite where nothing grows.
    """
    frames = np.unique(np.linspace(0, len(pilot.times) - 1, PLACES).round().astype(int))
    times = pilot.times.double().cpu()[torch.from_numpy(frames)]
    lags = []
    for frame, time in zip(frames, times, strict=True):
        states = pilot.states[frame, :STATES].double().cpu()
        jacobian = pilot.process.jacobian(states, time.expand(len(states)))
        rates = torch.linalg.eigvals(jacobian).real.amax(-1)
        rate = float(torch.quantile(rates, QUANTILE))
        lags.append(growth / rate if rate > 0 else np.inf)
    # A very long lag stands for an infinite one, which could not be interpolated.
    return times.numpy(), np.minimum(lags, 1e6 * (1 + float(times[-1] - times[0])))


def steady(times: Reals, lags: Reals) -> Reals:
    """Return lags shortened where they would grow faster than time passes, so that no later target starts earlier.

    Arguments:
        times: Times, increasing.
        lags: Lag at each of them.
    """
    starts = times - lags
    return np.asarray(times - np.maximum.accumulate(starts), dtype=np.float64)
