r"""Local denoising score matching.

.. math:: \mathcal L(\theta) = E\,\tfrac12 \left| M(y_t, t)^T \left(s_\theta(y_t, t) + L^{-T} \varepsilon\right)
          \right|^2, \qquad y_t = m(y_s) + L(y_s) \varepsilon

:math:`y_s` comes from the simulated nonlinear process; :math:`y_t` is drawn from the Gaussian kernel of the process
linearised at :math:`y_s`, so the minimiser is exactly the score of the smooth law of :math:`y_t`. The weight :math:`M`
belongs to the model and depends on :math:`(y_t, t)` alone. With antithetic noise both :math:`m \pm L \varepsilon` are
used, and the parts of the target that grow as the lag shrinks cancel between them.

Source: Singhal, Goldstein and Ranganath, What's the score? Automated denoising score matching for nonlinear diffusions
(2024), Figure 1. The antithetic pair: Boffi and Vanden-Eijnden, Probability flow solution of the Fokker-Planck equation
(2023), for one Euler step; for the local kernel derived.
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.score.model import ScoreModel
from physcore.score.objectives.objective import Batch, Objective

__all__ = ["LocalDenoising"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalDenoising(Objective):
    """Local denoising score matching at a fixed lag.

    Arguments:
        lag: Time between the simulated state and the denoised one, [time]. Longer lags have quieter targets and
            a larger linearisation error.
        antithetic: Whether every noise is used with both signs.

    Raises:
        ValueError: If the lag is not positive and finite.

    Error:
        The law whose score is learned differs from the process's own by the linearisation over one lag: in
        relative L2 on the active swimmer 0.2 % at lag 0.1, 0.8 % at 0.2, 6 % at 0.4.
    """

    lag: float = 0.2
    antithetic: bool = True

    def __post_init__(self) -> None:
        if not (self.lag > 0 and math.isfinite(self.lag)):
            raise ValueError(f"`lag` must be positive and finite; got {self.lag}.")

    def loss(self, model: ScoreModel, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the loss of each sample, shape ``(batch,)``; see ``Objective.loss``."""
        with torch.no_grad():
            transition = model.linearization.transition(batch.state, batch.start, batch.time - batch.start)
            noise = torch.randn(
                batch.state.T.shape, generator=generator, dtype=batch.state.dtype, device=batch.state.device
            )
            target = transition.score(noise)
            if self.antithetic:
                states = torch.cat([transition.state(noise), transition.state(-noise)])
                targets = torch.cat([target, -target])
                times = batch.time.repeat(2)
            else:
                states, targets, times = transition.state(noise), target, batch.time
        weighted, frame = model.weighted(states, times)
        loss = 0.5 * (weighted - frame.weight(targets)).square().sum(-1)
        return loss.reshape(2 if self.antithetic else 1, -1).mean(0)
