"""The loss measured in units of the noise of a transition, the same for all states of a time."""

import dataclasses

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.lags import LagSchedule, Pilot
from physcore.score.linearization import LocalLinearization
from physcore.score.model import ScoreFrame
from physcore.score.weightings.weighting import Weighting

__all__ = ["Perceptual"]

TIMES, STATES = 32, 4096


@dataclasses.dataclass(frozen=True, kw_only=True)
class Perceptual(Weighting):
    r"""Components in units of what noise makes of them over the lag, :math:`A = \operatorname{diag}(\sigma_i(t))`.

    :math:`\sigma_i^2(t)` is the mean over simulated states of the variance of component :math:`i` in the linearised
    transition to :math:`t`: on the active swimmer :math:`2 \gamma D h^3 / 3` and :math:`2 \gamma D h` for short lags
    :math:`h`. Where there is no lag it is the variance of the states. Every entry depends on time alone, so that the
    minimiser stays the score; with the covariance of each transition in its place it would not.

    Arguments:
        times: Times at which the scales are known, increasing, [time]; measured before a fit when empty.
        scales: Scales :math:`\sigma_i` at these times, a row for each; linear between them, constant beyond.

    Raises:
        ValueError: If there is not one row for each time, the times do not increase, or a scale is not positive.

    Source: the simple loss of Ho, Jain and Abbeel, Denoising diffusion probabilistic models (2020); the scales of
        nonlinear processes are derived.
    """

    times: tuple[float, ...] = ()
    scales: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        if len(self.times) != len(self.scales):
            raise ValueError(f"`scales` must have a row for each of {len(self.times)} times; got {len(self.scales)}.")
        if any(later <= earlier for earlier, later in zip(self.times, self.times[1:], strict=False)):
            raise ValueError(f"`times` must increase; got {self.times}.")
        if not all(scale > 0 for row in self.scales for scale in row):
            raise ValueError("`scales` must be positive.")

    def apply(self, process: Process, weighted: Tensor, frame: ScoreFrame, time: Tensor) -> Tensor:
        """Return the scores times their scales, shape ``(batch, component)``; see ``Weighting.apply``."""
        return frame.unweight(weighted) * self._scale(time)

    def transposed(self, process: Process, applied: Tensor, frame: ScoreFrame, time: Tensor) -> Tensor:
        """Return vectors times the scales, shape ``(batch, component)``; see ``Weighting.transposed``."""
        return applied * self._scale(time)

    def fitted(self, pilot: Pilot, schedule: LagSchedule) -> "Perceptual":
        """Return the weighting with its scales measured on simulated states; see ``Weighting.fitted``."""
        if self.times:
            return self
        linearization, first = LocalLinearization(pilot.process), float(pilot.times[0])
        measured = {}
        for frame in torch.unique(torch.linspace(0, len(pilot.times) - 1, TIMES).round().long()).tolist():
            time = pilot.times[frame]
            lag = float(schedule.lag(time).clamp(max=time - first))
            if lag > 0:
                start = max(0, int(torch.searchsorted(pilot.times, time - (1 - 1e-9) * lag, right=True)) - 1)
                states = pilot.states[start, :STATES].double()
                at, over = states.new_full((len(states),), float(pilot.times[start])), states.new_full((1,), lag)
                variance = linearization.transition(states, at, over).covariance.mean(0).diagonal()
            elif float(schedule.lag(time)) > 0:
                continue  # nothing has built up yet
            else:
                variance = pilot.states[frame].double().var(0)
            if bool((variance > 0).all()):
                measured[float(time)] = tuple(variance.sqrt().tolist())
        return Perceptual(times=tuple(measured), scales=tuple(measured.values()))

    def _scale(self, time: Tensor) -> Tensor:
        """Return the scales at times ``(batch,)``, shape ``(batch, component)``."""
        if not self.times:
            raise ValueError("the perceptual weighting has no scales yet; a fit measures them, or call `fitted`.")
        known, scales = time.new_tensor(self.times), time.new_tensor(self.scales)
        if len(known) == 1:
            return scales.expand(len(time), -1)
        right = torch.searchsorted(known, time).clamp(1, len(known) - 1)
        left = right - 1
        part = ((time - known[left]) / (known[right] - known[left])).clamp(0, 1)
        return torch.lerp(scales[left], scales[right], part.unsqueeze(-1))
