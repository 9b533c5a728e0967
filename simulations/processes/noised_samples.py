r"""Samples noised by an Ornstein-Uhlenbeck process towards the Gaussian of their own mean and covariance.

.. math:: dX = -(X - m)\,dt + \sqrt{2}\,L\,dW, \qquad L L^T = C, \qquad
          q_t = \frac1n \sum_k N\!\left(m + e^{-t} (x_k - m),\ (1 - e^{-2 t})\,C\right)

The start is one of the samples :math:`x_k`, with mean :math:`m` and covariance :math:`C`; mean and covariance stay what
they are. It is the noising of diffusion models (variance preserving, of whitened data) for data of one's own. The
closed score is that of the noised samples themselves, whose reversal gives back the samples; a learned one is smoother.
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.process import Process, Variable

__all__ = ["NoisedSamples"]

LARGEST_BLOCK = 2**22  # kernels evaluated at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoisedSamples(Process):
    r"""Noising of given samples. Time is measured in relaxation times.

    Arguments:
        samples: Samples :math:`x_k`, a row each, more than components.
        names: Names of the components, ``x0``, ``x1``, ... when empty.

    Raises:
        ValueError: If the samples are no matrix of finite numbers, or their covariance is singular.

    Source:
        Song et al., Score-based generative modeling through stochastic differential equations (2021), the variance
        preserving process with its clock as time.
    """

    samples: tuple[tuple[float, ...], ...] = dataclasses.field(repr=False)
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows = tuple(tuple(map(float, row)) for row in self.samples)
        if len(rows) < 2 or not rows[0] or len({len(row) for row in rows}) != 1:
            raise ValueError("`samples` must be two or more rows of equal length.")
        held = torch.tensor(rows, dtype=torch.float64)
        d = held.shape[1]
        if not bool(held.isfinite().all()):
            raise ValueError("`samples` must be finite.")
        if self.names and len(self.names) != d:
            raise ValueError(f"`names` must be {d}, one for each component; got {list(self.names)}.")
        centred = held - held.mean(0)
        covariance = centred.T @ centred / len(held)
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if bool(failed) or bool((factor.diagonal() <= 1e-7 * covariance.diagonal().sqrt()).any()):
            raise ValueError(f"`samples` must spread in all {d} directions; their covariance is singular.")
        object.__setattr__(self, "samples", rows)
        for name, value in (("_centred", centred), ("_mean", held.mean(0)), ("_factor", factor)):
            object.__setattr__(self, name, value)

    @property
    def variables(self) -> tuple[Variable, ...]:  # type: ignore[override]
        """One variable for each component."""
        return tuple(Variable(name) for name in self.names or [f"x{i}" for i in range(len(self.samples[0]))])

    @property
    def mean(self) -> Tensor:
        """Mean of the samples, shape ``(component,)``."""
        mean: Tensor = self._mean  # type: ignore[attr-defined]
        return mean

    @property
    def factor(self) -> Tensor:
        """Lower Cholesky factor of the covariance of the samples, shape ``(component, component)``."""
        factor: Tensor = self._factor  # type: ignore[attr-defined]
        return factor

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        return self.mean.to(state) - state

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(component, component)``; see ``Process.noise``."""
        return math.sqrt(2) * self.factor

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw samples with replacement, shape ``(paths, component)``; see ``Process.sample_initial``."""
        chosen = torch.randint(len(self.samples), (paths,), generator=generator)
        return self.mean + self._away[chosen]

    def sample_stationary(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw from the Gaussian that the process tends to.

        Arguments:
            paths: Number of states.
            generator: Source of randomness.

        Returns:
            Shape ``(paths, component)``, float64.
        """
        normals = torch.randn(paths, self.dimension, generator=generator, dtype=torch.float64)
        return self.mean + normals @ self.factor.T

    def stationary_score(self, state: Tensor) -> Tensor:
        """Return the score of that Gaussian, shape of ``state``; see ``Process.stationary_score``."""
        away = (state.double() - self.mean).unsqueeze(-1)
        return -torch.cholesky_solve(away, self.factor).squeeze(-1).to(state.dtype)

    def score(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the score of the noised samples.

        Arguments:
            state: States, shape ``(..., component)``.
            time: One time after the start, shape ``()``.

        Returns:
            Shape of ``state``, units 1 / [state].

        Raises:
            ValueError: If the time is not after the start, where the samples are points.
        """
        elapsed = float(time)
        if not elapsed > 0:
            raise ValueError(f"`time` must be positive, the samples themselves have no score; got {elapsed}.")
        variance, centres = -math.expm1(-2 * elapsed), math.exp(-elapsed) * self._white(self._away)
        points = self._white(state.reshape(-1, self.dimension).double() - self.mean)
        rows = max(1, LARGEST_BLOCK // len(centres))
        pulled = [_nearest(part, centres, variance) for part in torch.split(points, rows)] or [points]
        white = (torch.cat(pulled) - points) / variance
        score: Tensor = torch.linalg.solve_triangular(self.factor.T, white.T, upper=True).T
        return score.reshape(state.shape).to(state.dtype)

    def _white(self, away: Tensor) -> Tensor:
        white: Tensor = torch.linalg.solve_triangular(self.factor, away.T, upper=False).T
        return white

    @property
    def _away(self) -> Tensor:
        """The samples less their mean, shape ``(sample, component)``."""
        centred: Tensor = self._centred  # type: ignore[attr-defined]
        return centred


def _nearest(points: Tensor, centres: Tensor, variance: float) -> Tensor:
    """Return the mean of the centres, each weighted by its kernel at a point, shape of ``points``."""
    weights = torch.softmax(-torch.cdist(points, centres).square() / (2 * variance), -1)
    return weights @ centres
