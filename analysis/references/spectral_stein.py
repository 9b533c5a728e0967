r"""The score by the spectral Stein gradient estimator.

.. math:: s_i(x) = -\sum_{j \le J} \psi_j(x)\,E\,\partial_i \psi_j, \qquad E\,\psi_j \psi_k = \delta_{jk}

The eigenfunctions :math:`\psi_j` of a Gaussian kernel under the law of the samples are orthonormal, and Stein's
identity gives the coefficients of the score in them.

Source: Shi, Sun and Zhu, A spectral approach to gradient estimation for implicit distributions (2018). Departs from it:
the kernel's length and the number of eigenfunctions are chosen on samples left out, and not by the median distance
and a share of the eigenvalues.
"""

import torch
import xarray as xr
from torch import Tensor

from analysis.references.sampled import SampledReference
from analysis.references.samples.kernel_expansion import KernelExpansion, fitted_expansion
from physcore.process import Process

__all__ = ["SpectralStein"]


class SpectralStein(SampledReference):
    """The score in eigenfunctions of a Gaussian kernel.

    Arguments:
        process: The process.
        trajectories: Simulated paths, dimensions ``path`` and ``time``; without them nothing can be estimated.
        features: Number of samples about which kernels stand; their number squared is held.
        paths: How many of the paths to use, the first; all when None.

    Raises:
        ValueError: If ``features`` are below 2, or ``paths`` are too few.

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
        paths: int | None = None,
    ) -> None:
        super().__init__(process, trajectories, paths=paths)
        if features < 2:
            raise ValueError(f"`features` must be at least 2; got {features}.")
        self.features = features

    @property
    def options(self) -> dict[str, object]:
        """The options by name; see ``SampledReference.options``."""
        return {"features": self.features, "paths": self.paths}

    @property
    def has_density(self) -> bool:
        """None: a kernel expansion need not be the gradient of anything."""
        return False

    def learn(self, time: float) -> KernelExpansion:
        """Return the expansion at a saved time."""
        return fitted_expansion(self.states(time), gaussian, cut_off, self.features)


def gaussian(square: Tensor) -> tuple[Tensor, Tensor]:
    """Return the Gaussian kernel and its slope; see ``Profile``."""
    kernel = torch.exp(-0.5 * square)
    return kernel, kernel


def cut_off(eigenvalue: Tensor) -> Tensor:
    """Return 1 over the largest eigenvalues and 0 for the others, for every number of them; see ``Filter``."""
    inverse = torch.where(eigenvalue > 0, 1 / eigenvalue, 0.0)
    # Eigenvalues increase, so a row leaves out as many of the first as its index.
    return torch.triu(inverse.expand(len(eigenvalue), -1))
