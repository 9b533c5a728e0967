r"""The deep kernel exponential family.

.. math:: \log p(x) = \log q_0(x) + \sum_{m} \alpha_m k(x, z_m) - \log Z, \qquad
          \log q_0 = -\frac{|x|^2}{2 \sigma_0^2}

Source: Wenliang, Sutherland, Strathmann and Gretton, Learning deep kernels for exponential family densities (2019);
Sriperumbudur, Fukumizu, Gretton, Hyvärinen and Kumar, Density estimation in infinite dimensional exponential families
(2017).
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
import xarray as xr
from torch import Tensor, nn

from physcore.errors import DataFileError
from physcore.kernel_exponential_family.deep_kernels import DeepKernels, Expansion
from physcore.kernel_exponential_family.directions import Directions
from physcore.kernel_exponential_family.normal_equations import NormalEquations
from physcore.score.checkpoint import read_tensors, write_tensors

__all__ = ["DeepKernelExponentialFamily", "load_family", "save_family"]

FORMAT = 1


class DeepKernelExponentialFamily(nn.Module):
    r"""A density with a Gaussian base measure and an expansion in deep kernels.

    A fresh one is the base measure: coefficients are zero, and ``fit_family`` sets them. Numbers are computed in the
    precision of its parameters, to which points are cast.

    Arguments:
        inducing: Points :math:`z_m` about which kernels stand, shape ``(centre, component)``; they are learned.
        base_width: :math:`\sigma_0`, in units of the state.
        log_widths: See ``DeepKernels``.
        features: See ``DeepKernels``.
        layers: See ``DeepKernels``.
        log_ridge: First :math:`\lambda` of the ridge :math:`10^\lambda`; it is learned.
        generator: See ``DeepKernels``.

    Attributes:
        coefficients: :math:`\alpha`, shape ``(centre,)``.
        log_normalizer: :math:`\log Z`, NaN until it is set.
        history: Losses of the fit, None before.

    Raises:
        ValueError: If the inducing points are no matrix or the base's width is not positive.
    """

    coefficients: Tensor
    log_normalizer: Tensor

    def __init__(
        self,
        inducing: Tensor,
        *,
        base_width: float = 2.0,
        log_widths: Sequence[float] = (0.0, 0.5185, 1.0),
        features: int = 30,
        layers: int = 3,
        log_ridge: float = -2.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if inducing.ndim != 2 or not len(inducing):
            raise ValueError(f"`inducing` must have shape (centre, component); got {tuple(inducing.shape)}.")
        if not (base_width > 0 and math.isfinite(base_width)):
            raise ValueError(f"`base_width` must be positive and finite; got {base_width}.")
        self.base_width = base_width
        self.kernels = DeepKernels(
            inducing.shape[1], log_widths=log_widths, features=features, layers=layers, generator=generator
        )
        self.inducing = nn.Parameter(inducing.detach().to(torch.float32, copy=True))
        self.log_ridge = nn.Parameter(torch.tensor(log_ridge))
        self.register_buffer("coefficients", torch.zeros(len(inducing)))
        self.register_buffer("log_normalizer", torch.tensor(math.nan))
        self.history: xr.Dataset | None = None

    @property
    def dimension(self) -> int:
        """Number of components of the state."""
        return self.inducing.shape[1]

    def log_density_unnormalised(self, state: Tensor) -> Tensor:
        r"""Return :math:`\log q_0(x) + \sum_m \alpha_m k(x, z_m)`.

        Arguments:
            state: Points, shape ``(..., component)``.

        Returns:
            Shape ``(...)``.
        """
        points = self._points(state)
        kernels = self.kernels.values(points, self.kernels.centres(self.inducing))
        value = kernels @ self.coefficients - 0.5 * points.square().sum(-1) / self.base_width**2
        return value.reshape(state.shape[:-1])

    def log_density(self, state: Tensor, time: Tensor | None = None) -> Tensor:
        """Return the log density, NaN as long as the normaliser is not set.

        Arguments:
            state: Points, shape ``(..., component)``.
            time: Plays no part; a stationary density can stand where one that changes is asked for.

        Returns:
            Shape ``(...)``.
        """
        return self.log_density_unnormalised(state) - self.log_normalizer

    def score(self, state: Tensor, time: Tensor | None = None) -> Tensor:
        """Return the score in closed form.

        Arguments:
            state: Points, shape ``(..., component)``.
            time: Plays no part, as in ``log_density``.

        Returns:
            Shape of ``state``, units 1 / [state].
        """
        return self.along(Directions.axes(self._points(state), second=False)).slopes.mT.reshape(state.shape)

    def along(self, directions: Directions, coefficients: Tensor | None = None) -> Expansion:
        """Return the unnormalised log density with its derivatives along curves.

        Arguments:
            directions: Points, and curves through them.
            coefficients: Of the kernels; the family's own when None.
        """
        alpha = self.coefficients if coefficients is None else coefficients
        centres = self.kernels.centres(self.inducing)
        parts = [self.kernels.expansion(block, centres, alpha) + self._base(block) for block in directions.blocks]
        return Expansion(
            torch.cat([part.value for part in parts]),
            torch.cat([part.slopes for part in parts], -1),
            torch.cat([part.curvature for part in parts]),
        )

    def losses(self, directions: Directions, coefficients: Tensor | None = None) -> Tensor:
        """Return an objective's loss at each point, shape ``(batch,)``.

        Arguments:
            directions: The points, and the objective's curves through them.
            coefficients: Of the kernels; the family's own when None.
        """
        derivatives = self.along(directions, coefficients)
        return 0.5 * derivatives.slopes.square().sum(0) + derivatives.curvature

    def normal_equations(self, directions: Directions) -> NormalEquations:
        """Return the equations of the coefficients that minimise an objective over some points.

        Arguments:
            directions: The points, and the objective's curves through them.
        """
        centres = self.kernels.centres(self.inducing)
        first, *others = (
            NormalEquations.of(*self.kernels.derivatives(block, centres), self._base(block).slopes)
            for block in directions.blocks
        )
        return sum(others, start=first)

    def _base(self, directions: Directions) -> Expansion:
        state, precision = directions.state, self.base_width**-2
        square = directions.turning.square().sum((0, -1))
        return Expansion(
            -0.5 * precision * state.square().sum(-1),
            -precision * (directions.tangents[: directions.slopes] * state).sum(-1),
            -precision * (square + (directions.bend * state).sum(-1)),
        )

    def _points(self, state: Tensor) -> Tensor:
        if state.shape[-1] != self.dimension:
            raise ValueError(f"`state` must have {self.dimension} components; got shape {tuple(state.shape)}.")
        return state.reshape(-1, self.dimension).to(self.inducing)


def save_family(family: DeepKernelExponentialFamily, path: str | Path) -> None:
    """Save a density with all that is needed to call it again.

    Arguments:
        family: The density.
        path: File to write.
    """
    kernels = family.kernels
    settings = {
        "base_width": family.base_width,
        "log_widths": kernels.log_widths.tolist(),
        "features": kernels.skip.shape[-1],
        "layers": len(kernels.weights),
    }
    write_tensors(Path(path), {"family_format": FORMAT, "settings": json.dumps(settings), "state": family.state_dict()})


def load_family(path: str | Path, device: torch.device | str = "cpu") -> DeepKernelExponentialFamily:
    """Load a density that ``save_family`` wrote.

    Arguments:
        path: The file.
        device: Where it is to be evaluated.

    Returns:
        The density, in the precision it was saved in.

    Raises:
        DataFileError: If there is no such file, it is damaged, or it holds something else.
    """
    content = read_tensors(Path(path), device)
    if content.get("family_format") != FORMAT:
        raise DataFileError(f"{path} holds no kernel exponential family of format {FORMAT}")
    try:
        state = content["state"]
        with torch.random.fork_rng(devices=[]):  # the first parameters are replaced; the caller's numbers stay his
            family = DeepKernelExponentialFamily(state["inducing"], **json.loads(content["settings"]))
        family.to(state["inducing"].dtype).load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataFileError(f"{path} is no density that can be rebuilt: {error}") from error
    return family.requires_grad_(False).to(device)
