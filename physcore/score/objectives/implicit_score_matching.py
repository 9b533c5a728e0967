r"""Implicit score matching.

.. math:: \mathcal L(\theta) = E\left[\tfrac12 |A s_\theta|^2 + \nabla \cdot (A^T A\,s_\theta)\right], \qquad
          \nabla \cdot u = E_v\left[v \cdot \nabla (v \cdot u)\right]

The divergence is summed component by component, one backward pass each, or estimated with random probes :math:`v`.

Source: Hyvärinen, Estimation of non-normalized statistical models by score matching (2005); the estimate of the trace:
Hutchinson, A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines (1990).
"""

import dataclasses
from typing import Literal

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.objectives.implicit import Differentiable, Implicit
from physcore.score.probes import Probes, drawn_probes
from physcore.score.weightings import OwnFrame, Weighting

__all__ = ["ImplicitScoreMatching"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImplicitScoreMatching(Implicit):
    """Implicit score matching at the simulated states.

    Arguments:
        weighting: The weight of the loss.
        divergence: Exact, at one derivative for each component, or by Hutchinson's probes.
        probes: Law of the probes; signs have the lower variance.
        probe_count: Probes of a sample.

    Raises:
        ValueError: If there is not at least one probe.
    """

    weighting: Weighting = dataclasses.field(default_factory=OwnFrame)
    divergence: Literal["exact", "hutchinson"] = "exact"
    probes: Probes = "rademacher"
    probe_count: int = 1

    def __post_init__(self) -> None:
        if self.probe_count < 1:
            raise ValueError(f"`probe_count` must be at least 1; got {self.probe_count}.")

    def losses(self, process: Process, score: Differentiable, generator: torch.Generator) -> Tensor:
        """Return the loss of each sample, shape ``(sample,)``; see ``Implicit.losses``."""
        field = self.weighting.transposed(process, score.applied, score.frame, score.time)
        return 0.5 * score.applied.square().sum(-1) + self._divergence(score, field, generator)

    def _divergence(self, score: Differentiable, field: Tensor, generator: torch.Generator) -> Tensor:
        if self.divergence == "exact":
            return torch.stack([score.gradient(part)[:, i] for i, part in enumerate(field.unbind(-1))]).sum(0)
        total = torch.zeros_like(field[:, 0])
        for _ in range(self.probe_count):
            probe = drawn_probes(self.probes, field, generator)
            total = total + (score.gradient((field * probe).sum(-1)) * probe).sum(-1)
        return total / self.probe_count
