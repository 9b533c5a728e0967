r"""The score by the nu-method, iterative regularisation in the space of a kernel.

.. math:: s_{n} = s_{n-1} + u_n\,(s_{n-1} - s_{n-2}) - \omega_n\,(\zeta + L s_{n-1})

The fewer iterations, the smoother; :math:`n` of them regularise like a ridge of :math:`1 / n^2`. The kernel is the
inverse multiquadric :math:`(1 + |x - y|^2 / \ell^2)^{-1/2}`.

Source: Zhou, Shi and Zhu, Nonparametric score estimators (2020), the nu-method, with nu = 1; the coefficients: Engl,
Hanke and Neubauer, Regularization of Inverse Problems (1996), section 6.3. Departs from it: the kernel is diagonal and
not curl-free, and length and iterations are chosen on samples left out.
"""

import math

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from analysis.references.sampled import SampledReference
from analysis.references.samples.kernel_expansion import KernelExpansion, fitted_expansion
from physcore.process import Process

__all__ = ["KernelScore"]

NU = 1.0
KEPT = 100  # of the iterations, spread evenly over their logarithm


class KernelScore(SampledReference):
    """The score by iterative regularisation in the space of an inverse multiquadric kernel.

    Arguments:
        process: The process.
        trajectories: Simulated paths, dimensions ``path`` and ``time``; without them nothing can be estimated.
        features: Number of samples about which kernels stand; their number squared is held.
        most_iterations: Iterations at most; those with the best score on samples left out are used.
        paths: How many of the paths to use, the first; all when None.

    Raises:
        ValueError: If ``features`` are below 2, ``most_iterations`` below 1, or ``paths`` are too few.

    Error:
        Not known. Structure finer than what the features resolve is smeared out, as a thin ridge is.

    Source: see the module.
    """

    def __init__(
        self,
        process: Process,
        trajectories: xr.Dataset | None = None,
        *,
        features: int = 400,
        most_iterations: int = 10_000,
        paths: int | None = None,
    ) -> None:
        super().__init__(process, trajectories, paths=paths)
        if features < 2:
            raise ValueError(f"`features` must be at least 2; got {features}.")
        if most_iterations < 1:
            raise ValueError(f"`most_iterations` must be at least 1; got {most_iterations}.")
        self.features = features
        self.most_iterations = most_iterations

    @property
    def options(self) -> dict[str, object]:
        """The options by name; see ``SampledReference.options``."""
        return {"features": self.features, "most_iterations": self.most_iterations, "paths": self.paths}

    @property
    def has_density(self) -> bool:
        """None: a kernel expansion need not be the gradient of anything."""
        return False

    def learn(self, time: float) -> KernelExpansion:
        """Return the expansion at a saved time."""
        return fitted_expansion(self.states(time), inverse_multiquadric, self._filter, self.features)

    def _filter(self, eigenvalue: Tensor) -> Tensor:
        return nu_method(eigenvalue, self.most_iterations)


def inverse_multiquadric(square: Tensor) -> tuple[Tensor, Tensor]:
    """Return the inverse multiquadric kernel and its slope; see ``Profile``."""
    kernel = torch.rsqrt(1 + square)
    return kernel, kernel**3


def nu_method(eigenvalue: Tensor, iterations: int) -> Tensor:
    """Return the filter after some of the iterations, shape ``(kept, function)``; see ``Filter``.

    Arguments:
        eigenvalue: Eigenvalues, none above 1, shape ``(function,)``.
        iterations: How many iterations at most.
    """
    wanted = {round(math.exp(k / KEPT * math.log(iterations))) for k in range(KEPT + 1)}
    sigma = eigenvalue.numpy()  # whose loops over few numbers cost a fraction of torch's
    before, value, kept = np.zeros_like(sigma), np.zeros_like(sigma), []
    for n in range(1, iterations + 1):
        even, odd = n + 2 * NU - 1, 2 * n + 4 * NU - 1
        inertia = (n - 1) * (2 * n - 3) * (2 * n + 2 * NU - 1) / (even * odd * (2 * n + 2 * NU - 3))
        step = 4 * (2 * n + 2 * NU - 1) * (n + NU - 1) / (even * odd)
        before, value = value, value + inertia * (value - before) + step * (1 - sigma * value)
        if n in wanted:
            kept.append(value)
    return torch.from_numpy(np.stack(kept))
