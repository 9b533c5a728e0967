r"""What a kernel costs the score over a lag, measured without a reference.

Let :math:`q` be the law of the process a lag after some states, :math:`\hat q` that of the kernel after the same
states, and :math:`\bar q` their mean. The minimiser of denoising score matching is :math:`\nabla \log \hat q`. With
:math:`\delta = (q - \hat q) / \bar q`, and features :math:`\phi_k` orthonormal under :math:`\bar q`,

.. math:: \nabla \log q - \nabla \log \hat q = \frac{\nabla \delta}{1 - \delta^2 / 4} \approx \nabla \delta, \qquad
          \delta \approx \sum_k \phi_k\,\left(E_q \phi_k - E_{\hat q} \phi_k\right).

The two expectations are taken over pairs of the same start and the same noise (see ``coupling``), so their difference
is as quiet as it is small, and needs neither a density nor a target. What matters is to be quiet in the gradient: the
:math:`\phi_k` are combinations of simple functions (see ``features``) that make
:math:`E_{\bar q} |\nabla \phi_k|^2` stationary, in the order of its value, and only as many of the smoothest are used
as the pairs can tell: those for which :math:`E |\nabla \delta|^2` less twice its standard error is largest. The score's
own size comes from Stein's identity, :math:`E[\phi_k\,\partial_i \log q] = -E[\partial_i \phi_k]`, as the square of
its projection on the features, in the same way. Both are formed from products of different parts of the pairs, whose
errors are independent.

A target has the variance :math:`E (P^{-1})_{ii}` less that square. Errors and variances are relative to it, component
by component, and the components' mean is taken: no unit enters.

Source: derived; the expansion is the least-squares fit of a density ratio of Sugiyama, Suzuki and Kanamori, Density
Ratio Estimation in Machine Learning (2012).
"""

import dataclasses
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from physcore.errors import NumericalError
from physcore.process import Process
from physcore.score.kernels import Transitions
from physcore.score.lags.coupling import Pairs, coupled_pairs
from physcore.score.lags.features import Features
from physcore.small_matrices import solve_lower

__all__ = ["KernelError", "kernel_errors"]

FOLDS, GRADIENT_STATES = 16, 4096
DRAWS = 4  # of the noise for each start
LEAST_EIGENVALUE = 1e-6  # of the features' second moments, relative to the largest; below it they say the same


@dataclasses.dataclass(frozen=True)
class KernelError:
    """The error of a kernel at one lag.

    Arguments:
        lag: The lag, [time].
        bias: Square of the relative error of the minimiser's score, each component of it relative to its own size.
        noise: Variance of a target relative to the square of the score, likewise.
    """

    lag: float
    bias: Tensor
    noise: Tensor


@torch.no_grad()
def kernel_errors(
    process: Process,
    transitions: Transitions,
    state: Tensor,
    time: float,
    lags: Sequence[float],
    generator: torch.Generator,
) -> Iterator[KernelError]:
    """Yield the errors of a kernel from some states of the process, up to the first lag it cannot be computed at.

    Arguments:
        process: The process.
        transitions: Its kernel.
        state: States at one time, shape ``(batch, component)``, float64; 16 or more.
        time: That time.
        lags: Lags, increasing.
        generator: Source of randomness.

    Raises:
        ValueError: If there are fewer states.

    Error:
        From 8,192 states a target's mean square is known to a few percent, to a tenth where the kernel's states spread
        far. The bias is of the first order in the kernel's error, and what the pairs can tell of it: on the active
        swimmer too small by a half at 0.2 %, by a sixth at 0.8 %, by a third at 5 %; for a mixture of two
        Gaussians three widths to either side 0.4 to 1.4 of it from 1.4 to 5 %, differing so much from one set of states
        to the next, and 0.3 to 0.6 at 0.8 %. Fewer states may see nothing of the last. In many dimensions the features
        see what low-order polynomials and a few waves can.
    """
    if len(state) < FOLDS:
        raise ValueError(f"`state` must hold at least {FOLDS} states; got {len(state)}.")
    # Draws of one start have to fall into one part of the pairs.
    state = state[: len(state) // FOLDS * FOLDS].repeat(DRAWS, 1)
    times = torch.full((len(state),), time, dtype=state.dtype)
    try:
        for pairs in coupled_pairs(process, transitions, state, times, lags, generator):
            yield _error(process, pairs, torch.tensor(time + pairs.lag, dtype=state.dtype), generator)
    except NumericalError:
        return  # what cannot be computed cannot be used


def _error(process: Process, pairs: Pairs, time: Tensor, generator: torch.Generator) -> KernelError:
    features = Features(process, pairs.true, time, generator)
    true, kernel = features(pairs.true), features(pairs.kernel)
    moment = true.T @ true / len(true)
    both = (moment + kernel.T @ kernel / len(kernel)) / 2
    if not torch.isfinite(both).all():
        raise NumericalError("states have diverged.")
    gradients, rough = _gradients(features, pairs.true)
    roughness = (rough + _gradients(features, pairs.kernel)[1]) * pairs.true.var(0).reshape(-1, 1, 1)
    modes = _smoothest(both, roughness.sum(0))
    shifts = torch.stack([(kernel[k::FOLDS] - true[k::FOLDS]).mean(0) for k in range(FOLDS)]) @ modes
    gradients, rough, moment = modes.T @ gradients, modes.T @ rough @ modes, modes.T @ moment @ modes
    counts = sorted({min(round(2 ** (k / 2)), modes.shape[1]) for k in range(2, 18)})
    inverses = [torch.linalg.pinv(moment[:k, :k], rtol=LEAST_EIGENVALUE, hermitian=True) for k in counts]
    size, bias = [], []
    for i in range(process.dimension):
        parts = [gradients[:, :k, i] for k in counts]
        size.append(_resolved([part @ inverse @ part.T for part, inverse in zip(parts, inverses, strict=True)]))
        bias.append(_resolved([shifts[:, :k] @ rough[i, :k, :k] @ shifts[:, :k].T for k in counts]))
    # A size that is lost in noise leaves an error without bound.
    sizes = torch.stack(size).clamp(min=torch.finfo(true.dtype).tiny)
    return KernelError(
        pairs.lag, torch.stack(bias).clamp(min=0) / sizes, (_target_square(pairs) / sizes - 1).clamp(min=0)
    )


def _gradients(features: Features, state: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return mean gradients in each fold ``(fold, feature, component)``, and their products' means over all folds.

    The products :math:`E[\partial_i \phi_k\,\partial_i \phi_l]` have the shape ``(component, feature, feature)``.
    """
    means, products = [], torch.zeros(())
    for k in range(FOLDS):
        gradient = features.gradient(state[k::FOLDS][: GRADIENT_STATES // FOLDS])
        means.append(gradient.mean(0))
        columns = gradient.permute(2, 0, 1)
        products = products + columns.mT @ columns / (len(gradient) * FOLDS)
    return torch.stack(means), products


def _smoothest(moment: Tensor, roughness: Tensor) -> Tensor:
    """Return combinations of features, smoothest first, orthonormal by their moments, shape ``(feature, mode)``."""
    value, vector = torch.linalg.eigh(moment)
    kept = value > LEAST_EIGENVALUE * value[-1]
    basis = vector[:, kept] / value[kept].sqrt()
    _, smooth = torch.linalg.eigh(basis.T @ roughness @ basis)
    modes: Tensor = basis @ smooth
    return modes


def _resolved(products: list[Tensor]) -> Tensor:
    """Return the square that is surest to be large, without what noise adds to it.

    Arguments:
        products: For each number of modes, the products of independent noisy parts, shape ``(fold, fold)``.
    """
    table = torch.stack(products)
    own = torch.diagonal(table, dim1=1, dim2=2)
    apart = table.sum((1, 2)) - own.sum(1)
    square = apart / (FOLDS * (FOLDS - 1))
    # The jackknife: all but one fold.
    fewer = (apart.unsqueeze(1) - 2 * (table.sum(2) - own)) / ((FOLDS - 1) * (FOLDS - 2))
    error = ((fewer - fewer.mean(1, keepdim=True)).square().sum(1) * (FOLDS - 1) / FOLDS).sqrt()
    return square[(square - 2 * error).argmax()]


def _target_square(pairs: Pairs) -> Tensor:
    """Return the mean diagonal of the kernel's inverse covariance."""
    factor = pairs.transition.factor
    axes = torch.eye(factor.shape[0], dtype=factor.dtype)
    columns = [solve_lower(factor, axis.unsqueeze(-1).expand(-1, factor.shape[-1])) for axis in axes]
    return torch.stack([column.square().sum(0).mean() for column in columns])
