r"""What a kernel costs the score over a lag, measured without a reference.

Let :math:`q` be the law of the process a lag after some states, :math:`\hat q` that of the kernel after the same
states, and :math:`\bar q` their mean. The minimiser of denoising score matching is :math:`\nabla \log \hat q`. With
:math:`\delta = (q - \hat q) / \bar q`, and features :math:`\phi_k` orthonormal under :math:`\bar q`,

.. math:: \nabla \log q - \nabla \log \hat q = \frac{\nabla \delta}{1 - \delta^2 / 4} \approx \nabla \delta, \qquad
          \delta \approx \sum_k \phi_k\,\left(E_q \phi_k - E_{\hat q} \phi_k\right).

The two expectations are taken over pairs of the same start and the same noise (see ``coupling``), so their difference
is as quiet as it is small, and needs neither a density nor a target. :math:`E |\nabla \delta|^2` is formed from
products of different parts of the pairs, whose errors are independent. The score's own size comes from Stein's
identity, :math:`E[\phi_k\,\partial_i \log q] = -E[\partial_i \phi_k]`, as the square of its projection on the features.

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

FOLDS, GRADIENT_STATES = 8, 2048
LEAST_EIGENVALUE = 1e-5  # of the features' second moments, relative to the largest; below it they say the same


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
        state: States at one time, shape ``(batch, component)``, float64.
        time: That time.
        lags: Lags, increasing.
        generator: Source of randomness.

    Error:
        Of the first order in the kernel's error: on the active swimmer within a quarter of the exact error up to 6 %,
        and too small beyond. In many dimensions the features see what low-order polynomials and a few waves can. Where
        the law has narrow modes far apart it is not to be trusted: for a mixture of two Gaussians three widths to
        either side, 0.23 at a lag where quadrature gives 0.021, and nothing at half that lag for 0.014.
    """
    times = torch.full((len(state),), time, dtype=state.dtype)
    try:
        for pairs in coupled_pairs(process, transitions, state, times, lags, generator):
            yield _error(process, pairs, torch.tensor(time + pairs.lag, dtype=state.dtype), generator)
    except NumericalError:
        return  # what cannot be computed cannot be used


def _error(process: Process, pairs: Pairs, time: Tensor, generator: torch.Generator) -> KernelError:
    features = Features(process, pairs.true, time, generator)
    true, kernel = features(pairs.true), features(pairs.kernel)
    moment = (true.T @ true + kernel.T @ kernel) / (2 * len(true))
    if not torch.isfinite(moment).all():
        raise NumericalError("states have diverged.")
    value, vector = torch.linalg.eigh(moment)
    kept = value > LEAST_EIGENVALUE * value[-1]
    # Features times this are orthonormal under the mean of both laws.
    basis = vector[:, kept] / value[kept].sqrt()
    folds = [(true[k::FOLDS] - kernel[k::FOLDS]).mean(0) @ basis @ basis.T for k in range(FOLDS)]
    size = (basis.T @ features.mean_gradient(pairs.true[:GRADIENT_STATES])).square().sum(0)
    states = torch.cat([pairs.true[: GRADIENT_STATES // 2], pairs.kernel[: GRADIENT_STATES // 2]])
    bias = _square_without_noise(torch.stack([_gradient(features, states, each) for each in folds])) / size
    return KernelError(pairs.lag, bias.clamp(min=0), (_target_square(pairs) / size - 1).clamp(min=0))


def _gradient(features: Features, states: Tensor, coefficients: Tensor) -> Tensor:
    """Return the gradient of a sum of features at states."""
    with torch.enable_grad():
        at = states.clone().requires_grad_()
        return torch.autograd.grad((features(at) @ coefficients).sum(), at)[0]


def _square_without_noise(fields: Tensor) -> Tensor:
    """Return the mean square of what independent noisy fields ``(field, batch, component)`` are about."""
    squares = fields.square().sum(0)
    products = (fields.sum(0).square() - squares) / (len(fields) * (len(fields) - 1))
    return products.mean(0)


def _target_square(pairs: Pairs) -> Tensor:
    """Return the mean diagonal of the kernel's inverse covariance."""
    factor = pairs.transition.factor
    axes = torch.eye(factor.shape[0], dtype=factor.dtype)
    columns = [solve_lower(factor, axis.unsqueeze(-1).expand(-1, factor.shape[-1])) for axis in axes]
    return torch.stack([column.square().sum(0).mean() for column in columns])
