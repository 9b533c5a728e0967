r"""Score matching as directions: what each objective differentiates the log density along.

.. math:: \mathcal L = E\left[\tfrac12 \sum_p (w_p \cdot s)^2 + \sum_c \left(w_c^T (\nabla s)\,w_c
          + \operatorname{div}(w_c w_c^T) \cdot s\right)\right]

| objective | curves of the square, :math:`w_p` | curves of the second derivative, :math:`w_c` |
|---|---|---|
| exact | the columns of :math:`m`, the axes for plain score matching | the same |
| sliced | one random field :math:`w` | the same |
| sliced, variance-reduced | columns whose outer products sum to :math:`M = E[w w^T]` | one random field |

Each is quadratic in the log density, so coefficients in which that is linear have a closed form.

Source: Hyvärinen, Estimation of non-normalized statistical models by score matching (2005); Song, Garg, Shi and Ermon,
Sliced score matching (2019); Barp et al., Minimum Stein discrepancy estimators (2019), with a matrix; Robbins, Score
change of variables (2024), for slices that are not linear, in the form derived in ``physcore.score.slicings``.
"""

import abc
import dataclasses

import torch
from torch import Tensor

from physcore.kernel_exponential_family.directions import Directions
from physcore.score.slicings import DiffusionMatrix, LinearProjection, Slicing

__all__ = ["ExactFamilyMatching", "FamilyObjective", "SlicedFamilyMatching"]


class FamilyObjective(abc.ABC):
    """A score matching objective with closed-form coefficients."""

    @abc.abstractmethod
    def directions(self, state: Tensor, generator: torch.Generator) -> Directions:
        """Return the curves along which the log density is differentiated.

        Arguments:
            state: Points, shape ``(batch, component)``.
            generator: Source of randomness.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExactFamilyMatching(FamilyObjective):
    r"""Score matching without slices, plain or with a diffusion matrix.

    Arguments:
        matrix: :math:`m`; the identity gives plain score matching.
    """

    matrix: DiffusionMatrix = dataclasses.field(default_factory=LinearProjection)

    def directions(self, state: Tensor, generator: torch.Generator) -> Directions:
        """Return the columns of the matrix; see ``FamilyObjective.directions``."""
        columns = _columns(self.matrix, state)
        return Directions(
            state=state,
            tangents=columns,
            bend=self.matrix.second_moment_divergence(state),
            slopes=len(columns),
            curved=len(columns),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlicedFamilyMatching(FamilyObjective):
    """Sliced score matching, along lines or fields.

    Arguments:
        slicing: Law of the fields, of which each point is given one.
        variance_reduction: Whether the square is taken in its mean over fields.

    Raises:
        ValueError: If variance is to be reduced with a slicing whose second moment is not known.
    """

    slicing: Slicing = dataclasses.field(default_factory=LinearProjection)
    variance_reduction: bool = False

    def __post_init__(self) -> None:
        if self.variance_reduction and not self.slicing.known_second_moment:
            raise ValueError(f"`variance_reduction` needs the second moment of the fields; {self.slicing} knows none.")

    def directions(self, state: Tensor, generator: torch.Generator) -> Directions:
        """Return a field at each point, after columns of the second moment; see ``FamilyObjective.directions``."""
        field = self.slicing.draw(state, generator)
        along = field.value(state).unsqueeze(0)
        columns = _columns(self.slicing, state) if self.variance_reduction else along[:0]
        return Directions(
            state=state,
            tangents=torch.cat([columns, along]),
            bend=field.outer_divergence(state),
            slopes=len(columns) or 1,
            curved=1,
        )


def _columns(slicing: Slicing, state: Tensor) -> Tensor:
    r"""Return vectors whose outer products sum to :math:`M`, shape ``(column, batch, component)``."""
    if isinstance(slicing, DiffusionMatrix):
        axes = torch.eye(slicing.columns(state), dtype=state.dtype, device=state.device)
        return torch.stack([slicing.multiply(state, axis) for axis in axes])
    axes = torch.eye(state.shape[-1], dtype=state.dtype, device=state.device)
    moment = torch.stack([slicing.second_moment(state, axis) for axis in axes], -1)
    factor: Tensor = torch.linalg.cholesky(moment)
    return factor.permute(2, 0, 1)
