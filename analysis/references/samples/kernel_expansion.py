r"""Scores as expansions in the eigenfunctions of a kernel, by regularised score matching.

In the space of a kernel :math:`k` the score that samples see solves :math:`L s = -\zeta`, with
:math:`L = E\,k(\cdot, X) k(X, \cdot)` and :math:`\zeta = E\,\nabla_X k(\cdot, X)`. With the eigenvalues and
eigenfunctions of :math:`L`, :math:`E \psi_j^2 = \sigma_j`, a filter :math:`g(\sigma) \approx 1 / \sigma` that spares
the small eigenvalues gives

.. math:: s_i(x) = -\sum_j g(\sigma_j)\,\psi_j(x)\,E\,\partial_i \psi_j .

The functions are sums of kernels about some of the samples; the expectations are over all. The strength of the filter
and the length of the kernel are those with the least :math:`E[|s|^2 + 2 \nabla \cdot s]` on samples left out, which
the squares and slopes of the eigenfunctions give for all strengths at once.

Sources: Zhou, Shi and Zhu, Nonparametric score estimators (2020), section 3; the centres: Sutherland, Strathmann, Arbel
and Gretton, Efficient and principled score estimation with Nyström kernel exponential families (2018); the criterion:
Hyvärinen, Estimation of non-normalized statistical models by score matching (2005), theorem 1.
"""

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

from analysis.references.samples.whitening import Whitening

__all__ = ["Filter", "KernelExpansion", "Profile", "fitted_expansion"]

Profile = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From squared distances over the length squared, u, to the kernel k(u) and its slope -2 k'(u)."""

Filter = Callable[[Tensor], Tensor]
"""From eigenvalues ``(function,)`` to values of the filter at each strength, shape ``(strength, function)``."""

LENGTHS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # in those of a typical distance
TRIED = 20_000  # samples behind the choice of the length
HELD_OUT = 0.25
CHUNK = 4096
DISTINCT = 1e-10  # eigenvalue of the centres' kernel, relative to the largest, below which they say the same


@dataclasses.dataclass(frozen=True)
class KernelExpansion:
    """A sum of kernels about centres.

    Arguments:
        whitening: Coordinates of the centres.
        centres: Centres, shape ``(centre, component)``.
        length: Length of the kernel.
        profile: The kernel.
        weights: Weights for each component of the score, shape ``(centre, component)``.
        criterion: What was minimised, on samples left out.
    """

    whitening: Whitening
    centres: Tensor
    length: float
    profile: Profile
    weights: Tensor
    criterion: float

    @property
    def numbers(self) -> int:
        """How many numbers are held."""
        return self.centres.numel() + self.weights.numel()

    def score(self, points: Tensor) -> Tensor:
        """Return the score, shape ``(point, component)``, float64."""
        places = self.whitening.whitened(points.double().cpu())
        parts = torch.split(places, CHUNK)
        kernels = (self.profile(_scaled(part, self.centres, self.length))[0] for part in parts)
        return self.whitening.score(torch.cat([kernel @ self.weights for kernel in kernels]))

    def log_density(self, points: Tensor) -> Tensor:
        """Refuse: an expansion need not be the gradient of anything.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("a kernel expansion is a score alone, and need not be that of a density.")


def fitted_expansion(states: Tensor, profile: Profile, strengths: Filter, features: int) -> KernelExpansion:
    """Return the expansion that fits samples left out best.

    Arguments:
        states: Samples, shape ``(sample, component)``.
        profile: The kernel.
        strengths: The filter at each strength.
        features: Number of centres, the first samples.

    Raises:
        NumericalError: If the samples lie in a subspace.
    """
    whitening = Whitening.of(states)
    points = whitening.whitened(states)
    distance = math.sqrt(2 * points.shape[-1])
    tried = [_fitted(whitening, points[:TRIED], profile, strengths, features, f * distance) for f in LENGTHS]
    best = min(tried, key=lambda expansion: expansion.criterion)
    if len(points) <= TRIED:
        return best
    return _fitted(whitening, points, profile, strengths, features, best.length)


def _fitted(
    whitening: Whitening, points: Tensor, profile: Profile, strengths: Filter, features: int, length: float
) -> KernelExpansion:
    """Return the expansion of one length."""
    held_out = int(HELD_OUT * len(points))
    learned, left = points[held_out:], points[:held_out]
    centres = learned[:features]
    value, vector = torch.linalg.eigh(profile(_scaled(centres, centres, length))[0])
    kept = value > DISTINCT * value[-1]
    basis = vector[:, kept] / value[kept].sqrt()
    square, slope = _moments(learned, centres, length, profile, basis)
    eigenvalue, turn = torch.linalg.eigh(square)
    basis, slope = basis @ turn, turn.T @ slope
    square_left, slope_left = _moments(left, centres, length, profile, basis)
    filters = strengths(eigenvalue.clamp(min=0))
    coefficients = -filters.unsqueeze(-1) * slope
    criterion = (coefficients * (square_left @ coefficients + 2 * slope_left)).sum((1, 2))
    best = int(torch.nan_to_num(criterion, nan=torch.inf).argmin())
    return KernelExpansion(whitening, centres, length, profile, basis @ coefficients[best], float(criterion[best]))


def _moments(points: Tensor, centres: Tensor, length: float, profile: Profile, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean products of functions, and their mean gradients, shape ``(function, component)``."""
    functions, d = basis.shape[1], points.shape[-1]
    square, slope = points.new_zeros(functions, functions), points.new_zeros(len(centres), d)
    for part in torch.split(points, CHUNK):
        kernel, steepness = profile(_scaled(part, centres, length))
        values = kernel @ basis
        square += values.T @ values
        slope += steepness.sum(0).unsqueeze(-1) * centres - steepness.T @ part
    return square / len(points), basis.T @ slope / (len(points) * length**2)


def _scaled(points: Tensor, centres: Tensor, length: float) -> Tensor:
    """Return squared distances over the length squared, shape ``(point, centre)``."""
    return torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist").square() / length**2
