r"""Samples noised by a Gaussian transition kernel, and three ways to use a noise.

.. math:: y_t = m + L \varepsilon, \qquad \eta = -L^{-T} \varepsilon

The mean square of the target :math:`\eta` grows like one over the lag :math:`h`. Most of that cancels between the two
points of an antithetic pair, :math:`m \pm L \varepsilon`, or against a control variate, the score at :math:`m`:

.. math:: \tfrac12 |s(y_t)|^2 - (s(y_t) - s(m)) \cdot \eta, \qquad E[s(m) \cdot \eta] = 0 .

Both leave the mean gradient. Where noise drives every component, the variance then stays bounded as :math:`h \to 0`,
and the limit is implicit score matching with a finite-difference probe; where it does not, that of the undriven
components still grows.

Source: the antithetic pair: Boffi and Vanden-Eijnden, Probability flow solution of the Fokker-Planck equation (2023),
for one Euler step; for other kernels, and the control variate, derived.
"""

from typing import Literal

import torch

from physcore.score.kernels import Transitions
from physcore.score.objectives.objective import Batch, Sampler, Samples

__all__ = ["VarianceReduction", "noised"]

VarianceReduction = Literal["none", "antithetic", "control-variate"]


def noised(transitions: Transitions, variance_reduction: VarianceReduction) -> Sampler:
    """Return what draws points and targets from a kernel.

    Arguments:
        transitions: The kernel of a process.
        variance_reduction: How each noise is used: once, with both signs, or against the score at the mean.

    Returns:
        A sampler of one sample for each state, of one or two points.
    """

    @torch.no_grad()
    def sample(batch: Batch, generator: torch.Generator) -> Samples:
        state = batch.state
        transition = transitions(state, batch.start, batch.time - batch.start)
        noise = torch.randn(state.T.shape, generator=generator, dtype=state.dtype, device=state.device)
        target = transition.score(noise)
        points, targets, norms = [transition.state(noise)], [target], [1.0]
        if variance_reduction == "antithetic":
            points, targets, norms = [*points, transition.state(-noise)], [target, -target], [1.0, 1.0]
        elif variance_reduction == "control-variate":
            points, targets, norms = [*points, transition.mean.T], [target, -target], [1.0, 0.0]
        return Samples(
            state=torch.stack(points, 1),
            time=batch.time,
            target=torch.stack(targets, 1),
            norms=tuple(norms),
            importance=batch.importance,
        )

    return sample
