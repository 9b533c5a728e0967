r"""Targets of processes whose linearisation is the same everywhere, drawn without paths.

.. math:: dX = (J X + b(t))\,dt + G\,dW, \qquad X_t = e^{J (t - s)} y_s + c(s, t) + L \varepsilon, \qquad
          \eta = - L^{-T} \varepsilon

What any best gain makes of a path of such a process is the exact score given its start, and neither state nor target
at a step needs the steps before. The covariance :math:`L L^T` depends on the lag alone, so that no matrix is made for
each path; and :math:`c`, where the process takes the origin without noise, on start and lag alone, which many paths
share.

Source: Särkkä and Solin, Applied Stochastic Differential Equations (2019), section 6.1.
"""

import itertools

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.linearization import LocalLinearization
from physcore.score.path_weights.drift_map import followed
from physcore.score.path_weights.path_targets import PathTargets, Starts
from physcore.score.transitions import SharedTransitions

__all__ = ["LinearTargets"]

STEPS_TOGETHER = 4  # of a path, taken in one without noise


class LinearTargets(PathTargets):
    """States and targets of one linear process.

    Arguments:
        process: The process, with one Jacobian and one noise for all states and times.

    Error:
        That of :math:`c`, of fourth order in four steps; none where the drift does not depend on time.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.driven = not LocalLinearization(process).autonomous
        origin = torch.zeros(1, process.dimension, dtype=torch.float64)
        self.transitions = SharedTransitions(process.jacobian(origin, origin[:, 0])[0], process.noise(origin[:, 0]))

    def simulated(
        self, starts: Starts, steps: int, wanted: list[int], generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return states, targets and times at the wanted steps; see ``PathTargets.simulated``."""
        state, time, lag = starts.state, starts.time, starts.lag
        force, origins = self.process.drift(state, time), None
        if self.driven:
            force = force - self.process.drift(torch.zeros_like(state), time)
            origins = self._origins(starts, steps, wanted)
        states, targets = [], []
        for index, place in enumerate(wanted):
            transition = self.transitions(state, force, None, lag * (place / steps))
            noise = torch.randn(state.T.shape, generator=generator, dtype=state.dtype, device=state.device)
            reached = transition.state(noise)
            states.append(reached if origins is None else reached + origins[index])
            targets.append(transition.score(noise))
        times = [time + lag * (place / steps) for place in wanted]
        return torch.cat(states), torch.cat(targets), torch.cat(times)

    def _origins(self, starts: Starts, steps: int, wanted: list[int]) -> list[Tensor]:
        """Return where the drift takes the origin by each wanted step, each of shape ``(path, component)``."""
        begins = torch.stack([starts.time, starts.lag]).double()
        (time, lag), of_path = torch.unique(begins, dim=1, return_inverse=True)
        origin, origins = time.new_zeros(len(time), self.process.dimension), []
        for before, place in itertools.pairwise([0, *wanted]):
            duration, pieces = lag * ((place - before) / steps), -(-(place - before) // STEPS_TOGETHER)
            origin = followed(self.process, origin, time + lag * (before / steps), duration, pieces)
            origins.append(origin[of_path].to(starts.state.dtype))
        return origins
