r"""The Riccati gain of a drift that pulls alike in all but a few directions: no matrix for each path.

The covariance given the start is held as :math:`r I + U\,\mathrm{diag}(\lambda - r)\,U^T` in the directions :math:`U`
of the Jacobian at the start, its numbers carried by what the Jacobian along the mean path does to each of them. That is
not quite the covariance, but any gain that the start decides gives unbiased targets. With the Jacobians
:math:`J_1, J_2` at both ends of Heun's scheme

.. math:: D\Phi^T = I + \tfrac h2 J_1 + \tfrac h2 (I + h J_1) J_2 = \alpha I + X Y^T, \qquad
          D\Phi^{-T} v = \tfrac1\alpha \left(v - X (\alpha I + Y^T X)^{-1} Y^T v\right),

of rank twice that of a Jacobian. The growth of volumes is taken by the trapezoidal rule,
:math:`\log |\det D\Phi| = \tfrac h2 (\mathrm{tr} J(x) + \mathrm{tr} J(\Phi(x))) + O(h^3)`.

Source: the inverse is that of Sherman, Morrison and Woodbury (Hager, Updating the inverse of a matrix, 1989); as a
gain derived.
"""

import torch
from torch import Tensor

from physcore.low_rank import IdentityPlusLowRank
from physcore.process import Process
from physcore.score.path_weights.drift_map import mapped
from physcore.score.path_weights.riccati_targets import Riccati
from physcore.score.transitions import LowRankTransition

__all__ = ["LOW_RANK"]


def _width(transition: LowRankTransition) -> Tensor:
    """Return variances, that of the rest first, and their directions."""
    return torch.cat([transition.spread.spectrum, transition.spread.basis.flatten(1)], -1).T


def _step(process: Process, columns: Tensor, _: Tensor, normals: Tensor) -> Tensor:
    """Return the columns ``(path, entry)`` of paths one step later."""
    d, n = process.dimension, process.noises
    rank = (columns.shape[-1] - 3 * d - 3) // (d + 1)
    state, target, mean, spectrum, directions, _ = torch.split(columns, [d, d, d, 1 + rank, rank * d, 2], -1)
    basis, time, step = directions.reshape(-1, d, rank), columns[:, -2], columns[:, -1]
    half = 0.5 * step.unsqueeze(-1)

    def shaken(
        state: Tensor, target: Tensor, spectrum: Tensor, time: Tensor, normals: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        diffusion = process.diffuse(torch.ones_like(normals), time, state)[..., :1].square()
        kick = process.diffuse(normals * half.sqrt(), time, state)
        spectrum = spectrum + diffusion * half
        covariance = IdentityPlusLowRank(spectrum[:, 0], spectrum[:, 1:], basis)
        gain = covariance.with_spectrum(1 / spectrum)
        return state + kick, target - gain.apply(diffusion * target * half + kick), spectrum

    state, target, spectrum = shaken(state, target, spectrum, time, normals[:, :n])
    state, target = _carried(process, state, target, time, step)
    rates = _rates(_jacobian(process, mean, time), basis) * (2 * half)
    mean, spectrum = mapped(process, mean, time, step), spectrum * (1 + rates + 0.5 * rates.square()).square()
    state, target, spectrum = shaken(state, target, spectrum, time + step, normals[:, n:])
    rows = [state, target, mean, spectrum, directions, (time + step).unsqueeze(-1), step.unsqueeze(-1)]
    return torch.cat(rows, -1)


def _rates(jacobian: IdentityPlusLowRank, basis: Tensor) -> Tensor:
    """Return what a Jacobian does to all other directions, and along each of the basis, shape ``(path, 1 + k)``."""
    rest = jacobian.rest.unsqueeze(-1)
    along = (jacobian.basis.mT @ basis).square() * (jacobian.eigenvalues - rest).unsqueeze(-1)
    return torch.cat([rest, rest + along.sum(-2)], -1)


def _carried(process: Process, state: Tensor, target: Tensor, time: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Return states after the map of the drift, and targets changed as a score changes under it."""
    with torch.enable_grad():
        point = state.detach().requires_grad_()
        wide = step.unsqueeze(-1)
        euler = point.detach() + wide * process.drift(point.detach(), time)
        moved = mapped(process, point, time, step)
        first, last = _jacobian(process, point, time), _jacobian(process, moved, time + step)
        volume = 0.5 * step * (_trace(first) + _trace(last))
        growth = (
            torch.autograd.grad(volume.sum(), point, materialize_grads=True)[0]
            if volume.requires_grad
            else torch.zeros_like(state)
        )
    middle = _jacobian(process, euler, time + step)
    return moved.detach(), _solved(first, middle, wide, target - growth)


def _trace(matrix: IdentityPlusLowRank) -> Tensor:
    rest = matrix.rest.unsqueeze(-1)
    return matrix.basis.shape[-2] * matrix.rest + (matrix.eigenvalues - rest).sum(-1)


@torch.no_grad()
def _solved(first: IdentityPlusLowRank, last: IdentityPlusLowRank, step: Tensor, vector: Tensor) -> Tensor:
    """Return the transposed Jacobian of Heun's map, inverted, times vectors."""
    half, rest = 0.5 * step, last.rest.unsqueeze(-1)
    one, other = first.basis, last.basis
    more, less = (each.eigenvalues - each.rest.unsqueeze(-1) for each in (first, last))
    alpha = 1 + half * (first.rest.unsqueeze(-1) * (1 + step * rest) + rest)
    # (I + h J) applied to the other's directions, column by column.
    inner = one.mT @ other
    grown = (1 + step * first.rest.unsqueeze(-1)).unsqueeze(-1) * other + one @ ((step * more).unsqueeze(-1) * inner)
    columns = torch.cat(
        [one * (half * (1 + step * rest) * more).unsqueeze(-2), grown * (half * less).unsqueeze(-2)], -1
    )
    rows = torch.cat([one, other], -1).mT
    identity = torch.eye(rows.shape[-2], dtype=vector.dtype, device=vector.device)
    within: Tensor = torch.linalg.solve(alpha.unsqueeze(-1) * identity + rows @ columns, rows @ vector.unsqueeze(-1))
    along = (columns @ within).squeeze(-1)
    return (vector - along) / alpha


def _jacobian(process: Process, state: Tensor, time: Tensor) -> IdentityPlusLowRank:
    jacobian = process.low_rank_jacobian(state, time)
    if jacobian is None:
        raise ValueError(f"{type(process).__name__} gives a `low_rank_jacobian` at some states and not at others.")
    return jacobian


LOW_RANK = Riccati(width=_width, step=_step)
