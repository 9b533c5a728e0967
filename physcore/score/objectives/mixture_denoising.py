r"""Local denoising score matching whose targets are averaged over many start states.

.. math:: y = m_i + L_i \varepsilon, \qquad
          \eta(y) = \sum_j w_j(y)\,\nabla_y \log \hat q(y | y_s^j), \qquad
          w_j(y) = \frac{\hat q(y | y_s^j)}{\sum_k \hat q(y | y_s^k)}

:math:`n` start states of one time are taken together, and each makes one point. The target is the score at that point
of the mixture of all their kernels, :math:`\hat q_n`.

The weights are normalised by themselves, yet without bias: :math:`y` has the density :math:`\hat q_n` given the start
states, since its own is among them, and

.. math:: E\left[\hat q_n(y)\,\nabla \log \hat q_n(y)\right] = E\left[\nabla \hat q_n(y)\right] = \nabla \hat q(y),

so the regression of :math:`\eta` on :math:`y` is :math:`\nabla \log \hat q` for every :math:`n`. It is the target of
local denoising, averaged over which of the start states made the point. Were the own start left out, it would be biased
like any ratio of means. The variance falls with the number of kernels that overlap at a point, which in many dimensions
is one.

Source: derived; a Rao-Blackwellised target as in Xu, Tong and Jaakkola, Stable target field for reduced variance score
estimation in diffusion models (2023).
"""

import dataclasses

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.kernels import Kernel, LocalLinear
from physcore.score.lags import LagSchedule
from physcore.score.objectives.denoising import Denoising
from physcore.score.objectives.objective import Batch, Sampler, Samples, checked_lag
from physcore.score.transitions import DenseTransition, LocalTransition
from physcore.small_matrices import solve_lower, solve_transposed

__all__ = ["MixtureDenoising", "mixture_score"]

LARGEST_CHUNK = 4_000_000  # numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixtureDenoising(Denoising):
    """Local denoising with the score of the mixture of many start states' kernels as target.

    Arguments:
        lag: Time between the simulated states and the denoised ones, [time], or a schedule of lags.
        kernel: The Gaussian kernel from a simulated state.
        starts: Start states that are taken together. Only those with the same time count for one another.
        weighting: The weight of the loss.

    Raises:
        ValueError: If the lag is not positive and finite, or there is not at least one start.

    Error:
        The bias of ``LocalDenoising`` with the same kernel and lag, and none besides.
    """

    lag: float | LagSchedule = 0.2
    kernel: Kernel = dataclasses.field(default_factory=LocalLinear)
    starts: int = 32

    def __post_init__(self) -> None:
        checked_lag(self.lag)
        if self.starts < 1:
            raise ValueError(f"`starts` must be at least 1; got {self.starts}.")

    @property
    def states_per_time(self) -> int:
        """How many simulated states of one time are drawn side by side; see the contract."""
        return self.starts

    def sampler(self, process: Process) -> Sampler:
        """Return what draws from the kernels and mixes their scores; see ``Objective.sampler``."""
        transitions = self.kernel.of(process)

        @torch.no_grad()
        def sample(batch: Batch, generator: torch.Generator) -> Samples:
            state = batch.state
            transition = transitions(state, batch.start, batch.time - batch.start)
            noise = torch.randn(state.T.shape, generator=generator, dtype=state.dtype, device=state.device)
            points = transition.state(noise)
            kernels = DenseTransition(transition.mean, transition.factor)
            every = torch.arange(len(points), device=state.device)
            rows = torch.split(every, self._rows_at_once(process.dimension))
            targets = [self._targets(kernels, points, batch.time, each) for each in rows]
            return Samples(
                state=points.unsqueeze(1),
                time=batch.time,
                target=torch.cat(targets).unsqueeze(1),
                importance=batch.importance,
            )

        return sample

    def _rows_at_once(self, dimension: int) -> int:
        groups = LARGEST_CHUNK // (self.starts * dimension) ** 2
        return max(1, groups) * self.starts

    def _targets(self, kernels: LocalTransition, points: Tensor, time: Tensor, rows: Tensor) -> Tensor:
        """Return the targets of some points, whole groups of them but for the last."""
        missing = -len(rows) % self.starts
        groups = torch.cat([rows, rows[-1:].expand(missing)]).reshape(-1, self.starts)
        real = (torch.arange(groups.numel(), device=rows.device) < len(rows)).reshape(groups.shape)
        together = (time[groups].unsqueeze(-1) == time[groups].unsqueeze(-2)) & real.unsqueeze(-2)
        return mixture_score(kernels, points[groups], groups, together).flatten(0, 1)[: len(rows)]


def mixture_score(transition: LocalTransition, points: Tensor, starts: Tensor, together: Tensor) -> Tensor:
    """Return the scores at points of mixtures of kernels of equal weight.

    Arguments:
        transition: Kernels from all start states.
        points: Points, shape ``(group, point, component)``.
        starts: Indices of the kernels of each group, shape ``(group, kernel)``.
        together: Which kernels count at each point, at least one, shape ``(group, point, kernel)``.

    Returns:
        Shape of ``points``.
    """
    d, shape = points.shape[-1], together.shape
    index = starts.unsqueeze(1).expand(shape).reshape(-1)
    factor = transition.factor.expand(d, d, transition.mean.shape[-1])[:, :, index]
    offset = points.unsqueeze(2).expand(*shape, d).reshape(-1, d).T - transition.mean[:, index]
    white = solve_lower(factor, offset)
    logarithm = -0.5 * white.square().sum(0) - factor.diagonal().log().sum(-1)
    weight = torch.softmax(logarithm.reshape(shape).masked_fill(~together, -torch.inf), -1)
    scores = -solve_transposed(factor, white).T.reshape(*shape, d)
    return (weight.unsqueeze(-1) * scores).sum(2)
