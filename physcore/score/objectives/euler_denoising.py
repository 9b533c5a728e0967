r"""Denoising score matching with the kernel of one Euler-Maruyama step.

.. math:: y_t = y_s + h f(y_s, s) + \sqrt h\,G(s)\,\varepsilon

Source: Boffi and Vanden-Eijnden, Probability flow solution of the Fokker-Planck equation (2023), the denoising loss;
Heng, De Bortoli, Doucet and Thornton, Simulating diffusion bridges with score matching (2021).
"""

import dataclasses

from physcore.process import Process
from physcore.score.kernels import Euler
from physcore.score.lags import LagSchedule
from physcore.score.objectives.denoising import Denoising
from physcore.score.objectives.noising import VarianceReduction, noised
from physcore.score.objectives.objective import Sampler, checked_lag

__all__ = ["EulerDenoising"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EulerDenoising(Denoising):
    """Denoising score matching over one Euler step, for processes with noise on every component.

    Arguments:
        lag: Time between the simulated state and the denoised one, [time], or a schedule of lags.
        variance_reduction: How each noise is used: once, with both signs, or against the score at the kernel's mean.
        weighting: The weight of the loss.

    Raises:
        ValueError: If the lag is not positive and finite.

    Error:
        Of the order of the lag, one order worse than ``LocalDenoising``: at equal error the lag must be four to five
        times shorter, and the targets are as much noisier.
    """

    lag: float | LagSchedule = 0.02
    variance_reduction: VarianceReduction = "antithetic"

    kernel = Euler()

    def __post_init__(self) -> None:
        checked_lag(self.lag)

    def sampler(self, process: Process) -> Sampler:
        """Return what draws from the Euler kernel, if every component has noise; see ``Objective.sampler``."""
        return noised(self.kernel.of(process), self.variance_reduction)
