r"""Samples noised by an Ornstein-Uhlenbeck process towards the Gaussian of their own mean and covariance.

.. math:: dX = -\tfrac12 \beta(t) (X - m)\,dt + \sqrt{\beta(t)}\,L\,dW, \qquad L L^T = C, \qquad
          q_t = \frac1n \sum_k N\!\left(m + e^{-B/2} (x_k - m),\ (1 - e^{-B})\,C\right), \quad
          B(t) = \int_0^t \beta

The start is one of the samples :math:`x_k`, with mean :math:`m` and covariance :math:`C`; mean and covariance stay what
they are. It is the noising of diffusion models (variance preserving, of whitened data) for data of one's own. The
closed score is that of the noised samples themselves, whose reversal gives back the samples; a learned one is smoother.
"""

import dataclasses
import functools
import math
import os
from collections.abc import Callable

import torch
from torch import Tensor

from physcore.errors import DataFileError
from physcore.known_moment import KnownMoment
from physcore.process import Process, Variable
from simulations.processes.linear_rate import LinearRate
from simulations.sample_files import SampleFile
from simulations.validation import check_positive

__all__ = ["NoisedSamples"]

LARGEST_BLOCK = 2**22  # kernels evaluated at once
LONGEST_SHOWN = 32  # rows


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class NoisedSamples(LinearRate, Process):
    r"""Noising of given samples. With the default rates time is measured in relaxation times.

    Arguments:
        samples: Samples :math:`x_k`, a row each, more than components; or the path of a file that holds them, a table
            of text (``.csv``, ``.tsv``, ``.txt``), an array of numpy (``.npy``) or netCDF (``.nc``).
        names: Names of the components; of a file with named columns those that are taken. When empty all columns of
            a file by their names, or ``x0``, ``x1``, ...
        beta_start: Rate :math:`\beta_0` at time 0, [1 / time].
        beta_end: Rate :math:`\beta_1` at time 1, to which the rate goes linearly, at least :math:`\beta_0`, [1 / time].
        sha256: SHA-256 of the file, found when empty.

    Raises:
        DataFileError: If the file cannot be read or is another one than that of the SHA-256.
        ValueError: If the samples are no matrix of finite numbers, their covariance is singular, or a name or a rate
            does not fit.

    Source:
        Song et al., Score-based generative modeling through stochastic differential equations (2021), the variance
        preserving process, of data with any covariance.
    """

    samples: tuple[tuple[float, ...], ...] | str
    names: tuple[str, ...] = ()
    beta_start: float = 2.0
    beta_end: float = 2.0
    sha256: str = ""

    def __post_init__(self) -> None:
        check_positive(beta_start=self.beta_start, beta_end=self.beta_end)
        if self.beta_end < self.beta_start:
            raise ValueError(f"`beta_end` must be at least `beta_start` = {self.beta_start}; got {self.beta_end}.")
        held = self._from_file(self.samples) if isinstance(self.samples, str) else self._from_rows(self.samples)
        if held.shape[0] < 2 or not held.shape[1]:
            raise ValueError(f"`samples` must be two or more rows; got {held.shape[0]} of {held.shape[1]} components.")
        d = held.shape[1]
        if not bool(held.isfinite().all()):
            raise ValueError("`samples` must be finite.")
        if self.names and (len(self.names) != d or len(set(self.names)) < d):
            raise ValueError(f"`names` must be {d} different ones, one for each component; got {list(self.names)}.")
        centred = held - held.mean(0)
        covariance = centred.T @ centred / len(held)
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if bool(failed) or bool((factor.diagonal() <= 1e-7 * covariance.diagonal().sqrt()).any()):
            raise ValueError(f"`samples` must spread in all {d} directions; their covariance is singular.")
        for name, value in (("_centred", centred), ("_mean", held.mean(0)), ("_factor", factor)):
            object.__setattr__(self, name, value)

    def _from_file(self, path: str) -> Tensor:
        # Whoever reads the run later may stand elsewhere.
        place = os.path.abspath(path)
        file = SampleFile.read(place)
        if self.sha256 and self.sha256 != file.sha256:
            raise DataFileError(f"{place} has changed: its SHA-256 is {file.sha256}, not {self.sha256}")
        chosen = file.selected(tuple(self.names), place)
        for name, value in (("samples", place), ("names", chosen.names), ("sha256", file.sha256)):
            object.__setattr__(self, name, value)
        return torch.tensor(chosen.rows)

    def _from_rows(self, samples: tuple[tuple[float, ...], ...]) -> Tensor:
        if self.sha256:
            raise ValueError("`sha256` is that of a file; `samples` are given as rows.")
        rows = tuple(tuple(map(float, row)) for row in samples)
        if len({len(row) for row in rows}) != 1:
            raise ValueError("`samples` must be two or more rows of equal length.")
        object.__setattr__(self, "samples", rows)
        return torch.tensor(rows, dtype=torch.float64)

    def __repr__(self) -> str:
        """Return the constructor call, without the rows where there are many."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if not isinstance(self.samples, str) and len(self.samples) > LONGEST_SHOWN:
            fields["samples"] = ...
        said: list[str] = [f"{name}={'...' if value is ... else repr(value)}" for name, value in fields.items()]
        return f"{type(self).__name__}({', '.join(said)})"

    @property
    def variables(self) -> tuple[Variable, ...]:  # type: ignore[override]
        """One variable for each component."""
        return tuple(Variable(name) for name in self.names or [f"x{i}" for i in range(len(self.mean))])

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """The mean of each component and the mean squared distance from the mean, which stay at all times."""
        spread, mean = float(self.factor.square().sum()), self.mean.tolist()

        def distance(state: Tensor) -> Tensor:
            return (state - self.mean.to(state)).square().sum(-1)

        means = [
            KnownMoment(f"mean of {variable.name}", functools.partial(_component, place), _constant(mean[place]))
            for place, variable in enumerate(self.variables)
        ]
        return (KnownMoment("mean square distance", distance, _constant(spread)), *means)

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
        return self._half_rate(state, time) * (self.mean.to(state) - state)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, ``(..., component, component)`` where the rate changes; see ``Process.noise``."""
        if self._steady:
            return math.sqrt(self.beta_start) * self.factor
        return torch.sqrt(self.rate(time.double()))[..., None, None] * self.factor.to(time.device)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw samples with replacement, shape ``(paths, component)``; see ``Process.sample_initial``."""
        chosen = torch.randint(len(self._away), (paths,), generator=generator)
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
        clock = float(self.clock(torch.tensor(elapsed, dtype=torch.float64)))
        variance, centres = -math.expm1(-clock), math.exp(-clock / 2) * self._white(self._away)
        points = self._white(state.reshape(-1, self.dimension).double() - self.mean)
        rows = max(1, LARGEST_BLOCK // len(centres))
        pulled = [_nearest(part, centres, variance) for part in torch.split(points, rows)] or [points]
        white = (torch.cat(pulled) - points) / variance
        score: Tensor = torch.linalg.solve_triangular(self.factor.T, white.T, upper=True).T
        return score.reshape(state.shape).to(state.dtype)

    @property
    def _steady(self) -> bool:
        return self.beta_end == self.beta_start

    def _half_rate(self, state: Tensor, time: Tensor) -> Tensor | float:
        return 0.5 * self.beta_start if self._steady else 0.5 * self.rate(time).to(state.dtype).unsqueeze(-1)

    def _white(self, away: Tensor) -> Tensor:
        white: Tensor = torch.linalg.solve_triangular(self.factor, away.T, upper=False).T
        return white

    @property
    def _away(self) -> Tensor:
        """The samples less their mean, shape ``(sample, component)``."""
        centred: Tensor = self._centred  # type: ignore[attr-defined]
        return centred


def _component(place: int, state: Tensor) -> Tensor:
    return state[..., place]


def _constant(value: float) -> Callable[[Tensor], Tensor]:
    return lambda time: torch.full_like(time, value)


def _nearest(points: Tensor, centres: Tensor, variance: float) -> Tensor:
    """Return the mean of the centres, each weighted by its kernel at a point, shape of ``points``."""
    weights = torch.softmax(-torch.cdist(points, centres).square() / (2 * variance), -1)
    return weights @ centres
