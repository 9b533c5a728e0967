r"""The diffusion Stein operator.

.. math:: \mathcal S f = s \cdot (m f) + \operatorname{div}(m f) = b \cdot f + \sum_k (m_k \cdot \nabla) f_k

Its mean over the law of the score vanishes for every function that does not grow too fast; the largest mean over a
class of functions is the Stein discrepancy. After a map :math:`T`, whose field is
:math:`m = (\partial T / \partial x)^{-1}`, the plain operator on :math:`g` is this one on :math:`f = g \circ T`.

Source: Gorham et al., Measuring sample quality with diffusions (2019), section 2; the map is derived.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from analysis.stein.fields import DiffusionField, field_of
from physcore.transform import Bijection, derivatives

__all__ = ["stein_operator"]


def stein_operator(
    function: Callable[[Tensor], Tensor],
    states: Tensor,
    scores: Tensor,
    field: DiffusionField | Bijection | None = None,
) -> Tensor:
    r"""Return :math:`\mathcal S f` at states.

    Arguments:
        function: :math:`f`, from states ``(n, component)`` to values ``(n, k)``, each state by itself.
        states: States, shape ``(n, component)``.
        scores: Scores there, of that shape.
        field: The matrix field, or a map that gives one; the identity when None.

    Returns:
        Shape ``(n,)``.
    """
    values = function(states)
    if field is None:
        columns = torch.eye(states.shape[-1], dtype=states.dtype, device=states.device).expand(len(states), -1, -1)
        stein_scores = scores
    else:
        chosen = field_of(field)
        columns, stein_scores = chosen.columns(states), chosen.features(states, scores).scores
    total = (stein_scores * values).sum(-1)
    for k in range(values.shape[-1]):
        total = total + derivatives.push(function, states, columns[..., k])[..., k]
    return total
