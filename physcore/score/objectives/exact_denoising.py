r"""Denoising score matching with the exact transition kernel of the process.

.. math:: \eta = \nabla_{y_t} \log q(y_t | y_s)

Where the kernel is known there is no bias at any lag, and the longest lag has the quietest targets.

Source: Vincent, A connection between score matching and denoising autoencoders (2011); for diffusions, Song et al.,
Score-based generative modeling through stochastic differential equations (2021).
"""

import dataclasses

from physcore.process import Process
from physcore.score.kernels import ExactTransition
from physcore.score.lags import LagSchedule
from physcore.score.objectives.denoising import Denoising
from physcore.score.objectives.noising import VarianceReduction, noised
from physcore.score.objectives.objective import Sampler, checked_lag

__all__ = ["ExactDenoising"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExactDenoising(Denoising):
    """Denoising score matching for processes with known Gaussian transitions.

    Arguments:
        lag: Time between the simulated state and the denoised one, [time], or a schedule of lags. Where it is longer
            than the time since the first frame, the first frame is the start; with a lag of the whole simulation that
            is so everywhere, and the training must then be given a ``first_time``.
        variance_reduction: How each noise is used: once, with both signs, or against the score at the kernel's mean.
        weighting: The weight of the loss.

    Raises:
        ValueError: If the lag is not positive and finite.

    Error:
        None at any lag, beyond that of the simulated states.
    """

    lag: float | LagSchedule = 0.5
    variance_reduction: VarianceReduction = "antithetic"

    kernel = ExactTransition()

    def __post_init__(self) -> None:
        checked_lag(self.lag)

    def sampler(self, process: Process) -> Sampler:
        """Return what draws from the exact kernel, if the process has one; see ``Objective.sampler``."""
        return noised(self.kernel.of(process), self.variance_reduction)
