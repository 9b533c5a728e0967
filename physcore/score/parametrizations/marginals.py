"""Moments of the pilot states: over all times, or at knots in time with linear interpolation between them.

What is interpolated are means, standard deviations and Cholesky factors, so a covariance is positive definite at any
time. Before the first knot and after the last the moments are theirs.

Error:
    Sampling: 1 / sqrt(paths) of a standard deviation. Interpolation: second order in the distance of the knots.

Source: derived.
"""

import dataclasses

import torch
from torch import Tensor, nn

from physcore.score.lags import Pilot

__all__ = ["Interpolation", "Moments", "moments", "moments_at_knots"]

MOST_KNOTS = 33
LEAST_VARIANCE = 1e-6  # of a component's largest


@dataclasses.dataclass(frozen=True)
class Moments:
    """Means and covariances, in float64.

    Arguments:
        mean: Means, shape ``(..., component)``.
        covariance: Covariances, positive definite, shape ``(..., component, component)``.
    """

    mean: Tensor
    covariance: Tensor

    @property
    def deviation(self) -> Tensor:
        """Standard deviations, shape ``(..., component)``."""
        return self.covariance.diagonal(dim1=-2, dim2=-1).sqrt()


def moments(pilot: Pilot) -> Moments:
    """Return the moments of the pilot states of all times together.

    Arguments:
        pilot: Simulated states.
    """
    return _moments(pilot.states.flatten(0, 1).double())


def moments_at_knots(pilot: Pilot, time_range: tuple[float, float]) -> tuple[Tensor, Moments]:
    """Return times among the pilot's frames, from the last before a range to the first after it, and their moments.

    Arguments:
        pilot: Simulated states.
        time_range: First and last time of the range.

    Returns:
        Times, shape ``(knot,)``, and moments with the knots first.
    """
    times = pilot.times.cpu()
    first = max(int(torch.searchsorted(times, time_range[0], right=True)) - 1, 0)
    last = min(int(torch.searchsorted(times, time_range[1])), len(times) - 1)
    frames = torch.linspace(first, last, min(MOST_KNOTS, last - first + 1)).round().long()
    return times[frames], _moments(pilot.states[frames.to(pilot.states.device)].double())


class Interpolation(nn.Module):
    """Values that are linear in time between knots, and constant before the first and after the last.

    Arguments:
        knots: Rising times, shape ``(knot,)``.
        values: Values at them, shape ``(knot, ...)``.

    Raises:
        ValueError: If there are not as many values as knots, or a knot is not after the one before.
    """

    knots: Tensor
    values: Tensor

    def __init__(self, knots: Tensor, values: Tensor) -> None:
        super().__init__()
        if len(knots) != len(values) or len(knots) == 0 or not (knots.diff() > 0).all():
            raise ValueError(f"`knots` must rise, one for each of the {len(values)} values; got {knots.tolist()}.")
        self.register_buffer("knots", knots.float(), persistent=False)
        self.register_buffer("values", values.float(), persistent=False)

    def forward(self, time: Tensor) -> Tensor:
        """Return the values at times of shape ``(batch,)``, shape ``(batch, ...)``."""
        if len(self.knots) == 1:
            return self.values.expand(len(time), *self.values.shape[1:])
        below = (torch.searchsorted(self.knots, time.contiguous(), right=True) - 1).clamp(0, len(self.knots) - 2)
        share = (time - self.knots[below]) / (self.knots[below + 1] - self.knots[below])
        share = share.clamp(0, 1).reshape(-1, *[1] * (self.values.ndim - 1))
        return torch.lerp(self.values[below], self.values[below + 1], share)


def _moments(states: Tensor) -> Moments:
    """Return the moments over the last axis but one, the variances kept off zero by a part of their largest."""
    mean = states.mean(-2)
    centred = states - mean.unsqueeze(-2)
    covariance = centred.mT @ centred / states.shape[-2]
    largest = covariance.diagonal(dim1=-2, dim2=-1).reshape(-1, covariance.shape[-1]).amax(0)
    # A component that never moves keeps its own unit.
    floor = torch.where(largest > 0, LEAST_VARIANCE * largest, 1.0)
    return Moments(mean, covariance + torch.diag(floor))
