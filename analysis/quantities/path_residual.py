r"""Error of a score without a reference, from its own residual along simulated paths.

Let :math:`\eta_t` be an unbiased value of the score along a path, :math:`E[\eta_t | X_t] = \nabla \log q_t(X_t)`.
Carried with the score's own gradient for a gain, its difference :math:`\zeta = \eta - s` has no noise of its own,

.. math:: \frac{d\zeta}{du} = \left(-A^T + \nabla s\,Q\right) \zeta + R, \qquad
          R = -\partial_t s - \nabla s\,f - A^T s - \nabla\,\nabla \cdot f
          + \nabla s\,Q s + \tfrac12 \sum_k (g_k \cdot \nabla)^2 s,

with :math:`A = D f` and :math:`g_k` the columns of :math:`G`; :math:`R` is what the equation of motion of a score
leaves of :math:`s`. Then :math:`E[\zeta_t | X_t]` is the error of the score, and by Jensen's inequality

.. math:: E\left|\nabla \log q_t - s\right|^2 \le E|\zeta_t|^2 .

The bound falls to zero with the error. Derivatives of the score are central differences in float64.

Source: derived, from the score's change of variables and Tweedie's formula; a Bismut-Elworthy-Li weight (Elworthy and
Li, Formulae for the derivatives of heat semigroups, 1994) with the gain of least noise.
"""

import copy
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from analysis.quantities.blocks import Block, Frame, Sums, saved_times
from analysis.quantities.path_means import PathMeans, sums_of_ratio
from analysis.quantities.quantity import LEARNED, Estimator, Quantity, Subject
from analysis.quantities.sampled_score import SampledScore
from analysis.quantities.selections import selected_squares, selections
from analysis.references.reference import Reference
from physcore.communicator import Communicator
from physcore.diffusivity import check_additive
from physcore.errors import NumericalError
from physcore.process import Process
from physcore.score.model import ScoreModel
from physcore.score.score_function import ScoreFunction

__all__ = ["PathResidual", "path_residual"]

DIFFERENCE = 1e-3  # of the spread of the states, over which central differences are taken
TIME_DIFFERENCE = 1e-4  # of the range of times


@dataclasses.dataclass(frozen=True, kw_only=True)
class PathResidual(Quantity):
    """The bound on the error of the learned score that its own residual gives.

    Arguments:
        start: Name of the reference that is trusted at the first compared time; the first one when None.
    """

    start: str | None = None

    def check(self, process: Process, references: Mapping[str, Reference], components: Sequence[int]) -> None:
        """Refuse an unknown start, noise that depends on the state and a score in part; see ``Quantity.check``."""
        if self.start is not None and self.start not in references:
            raise ValueError(f"`start` must name one of the references {list(references)}; got {self.start!r}.")
        check_additive(process)
        missing = [v.name for i, v in enumerate(process.variables) if i not in components]
        if missing:
            raise ValueError(f"the learned score does not hold the components {missing}.")

    def estimator(self, subject: Subject, name: str) -> Estimator | None:
        """Return how it is estimated for the learned score; see ``Quantity.estimator``."""
        if name != LEARNED:
            return None
        start = subject.references[self.start or next(iter(subject.references))]
        return _estimator(subject.process, subject.score, start, subject.times)


def path_residual(
    process: Process,
    score: ScoreFunction,
    trajectories: xr.Dataset,
    *,
    times: Sequence[float] | None = None,
    start: ScoreFunction | None = None,
    communicator: Communicator | None = None,
) -> xr.Dataset:
    """Return a bound on the relative error of a score, which needs no reference.

    Arguments:
        process: The process, of a drift that is twice differentiable.
        score: Anything with ``score(state, time)`` that holds all components, known between the times too.
        trajectories: Paths that were not learned from, dimensions ``path`` and ``time``, saved as densely as the score
            changes along them.
        times: Saved times of the path, all at which the score is known when None.
        start: A score to trust at the first of the times, the process's initial law at time 0 when None. With ``score``
            itself its error there is taken for zero; what that leaves out is forgotten as the process forgets.
        communicator: Ranks that share the blocks of paths; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset with dimensions ``selection`` (full, driven, each component) and ``time``: the bound ``value``
        on E|error|^2 / E|score|^2 with ``standard_error``.

    Raises:
        ValueError: If a time was not saved, the times are fewer than two, or ``start`` is missing where they do not
            begin at 0.
        NumericalError: If a state, the score or the residual is not finite.

    Error:
        Of second order in the spacing of the times for what is smooth along a path, of first order for its roughness.
    """
    moments = saved_times(process, trajectories, times, SampledScore(process, score).known_at)
    if start is None and moments[0] != 0:
        raise ValueError(f"`start` must be given, for the first of the times is {moments[0]:g} and not 0.")
    return _estimator(process, score, start, moments).over(process, trajectories, communicator)


def _estimator(
    process: Process, score: ScoreFunction, start: ScoreFunction | None, moments: NDArray[np.float64]
) -> Estimator:
    if len(moments) < 2:
        raise ValueError(f"`times` must hold two at least; got {len(moments)}.")
    if isinstance(score, ScoreModel):
        score = copy.deepcopy(score).double()  # differences of single precision would be noise
    sampled = SampledScore(process, score)
    motion = _Motion(process, sampled, (float(moments[0]), float(moments[-1])))

    def work(block: Block) -> Sums:
        sums = np.zeros((6, len(moments), len(selections(process))))
        before = rest = None
        for frame in block:
            here = motion.score(frame.states, frame.time)
            if before is None or rest is None:
                rest = _first(process, start, frame) - here
            else:
                step = moments[frame.index] - moments[frame.index - 1]
                slope = motion.slope(before, rest)
                rest = rest + 0.5 * step * (slope + motion.slope(frame, rest + step * slope))
            before = frame
            error, norm = (selected_squares(process, values) for values in (rest, here))
            sums[:, frame.index] = sums_of_ratio(error, norm, torch.ones(len(here), dtype=torch.bool))
        return sums

    return Estimator(moments, work, lambda sums, paths: _dataset(process, moments, sums, paths))


def _first(process: Process, start: ScoreFunction | None, frame: Frame) -> Tensor:
    """Return the trusted score at the first frame."""
    if start is not None:
        return SampledScore(process, start).at(frame)[0]
    with torch.enable_grad():
        watched = frame.states.detach().requires_grad_()
        density = process.initial_log_density(watched)
        gradient: Tensor = torch.autograd.grad(density.sum(), watched)[0]
        return gradient


class _Motion:
    """The equation of motion of what a score lacks.

    Arguments:
        process: The process.
        sampled: The score.
        span: First and last time.
    """

    def __init__(self, process: Process, sampled: SampledScore, span: tuple[float, float]) -> None:
        self.process, self.sampled, self.span = process, sampled, span

    def slope(self, frame: Frame, rest: Tensor) -> Tensor:
        """Return the rate of change of the difference along the paths, shape ``(path, component)``."""
        process, states, time = self.process, frame.states, frame.time
        scores, whole = self.score(states, time), rest + self.score(states, time)
        spread = states.std(0).clamp_min(1e-12)
        noise = process.noise_for(states, time)
        drift = process.drift(states, time)
        jacobian = process.jacobian(states, time)
        pull = whole @ (noise @ noise.mT)
        slope = -(jacobian.mT @ whole.unsqueeze(-1)).squeeze(-1) - self._divergence_gradient(states, time)
        # One derivative along Q (zeta + s) - f serves both terms.
        slope = slope + self._along(states, time, pull - drift, spread) - self._time_derivative(states, time)
        for column in noise.T:
            shift = DIFFERENCE / float((column / spread).norm())
            ahead, behind = (self.score(states + sign * shift * column, time) for sign in (1, -1))
            slope = slope + 0.5 * (ahead - 2 * scores + behind) / shift**2
        return slope

    def score(self, states: Tensor, time: Tensor) -> Tensor:
        """Return the score, shape ``(path, component)``, refusing states that it does not know."""
        score, known = self.sampled.at(Frame(0, time, states))
        if not known.all():
            raise NumericalError(f"the score does not know {int((~known).sum())} states near paths at {float(time):g}.")
        return score

    def _along(self, states: Tensor, time: Tensor, direction: Tensor, spread: Tensor) -> Tensor:
        """Return the derivative of the score along a direction of each state."""
        length = (direction / spread).norm(dim=-1, keepdim=True).clamp_min(1e-12)
        shift = DIFFERENCE * direction / length
        difference = self.score(states + shift, time) - self.score(states - shift, time)
        derivative: Tensor = 0.5 * difference * (length / DIFFERENCE)
        return derivative

    def _time_derivative(self, states: Tensor, time: Tensor) -> Tensor:
        first, last = self.span
        shift = TIME_DIFFERENCE * (last - first)
        later = torch.clamp(time + shift, first, last)
        earlier = torch.clamp(time - shift, first, last)
        derivative: Tensor = (self.score(states, later) - self.score(states, earlier)) / (later - earlier)
        return derivative

    def _divergence_gradient(self, states: Tensor, time: Tensor) -> Tensor:
        with torch.enable_grad():
            watched = states.detach().requires_grad_()
            divergence = self.process.jacobian(watched, time).diagonal(dim1=-2, dim2=-1).sum()
            if not divergence.requires_grad:
                return torch.zeros_like(states)
            gradient: Tensor = torch.autograd.grad(divergence, watched, materialize_grads=True, allow_unused=True)[0]
            return gradient


def _dataset(process: Process, times: NDArray[np.float64], sums: Sums, paths: int) -> xr.Dataset:
    ratio, stacked = PathMeans.of_ratio(sums), ("selection", "time")
    return xr.Dataset(
        {
            "value": (stacked, ratio.value.T, {"long_name": "bound on the relative score error", "units": "1"}),
            "standard_error": (stacked, ratio.standard_error.T, {"long_name": "standard error of value", "units": "1"}),
        },
        {
            "selection": list(selections(process)),
            "time": ("time", times, {"long_name": "time", "units": process.time_units}),
        },
        {"paths": paths},
    )
