r"""Ornstein-Uhlenbeck processes in any dimension, solved exactly.

.. math:: dX = A X\,dt + G\,dW, \qquad X_0 \sim N(\mu_0, \Sigma_0)

The law stays Gaussian, with :math:`\mu_t = e^{A t} \mu_0` and
:math:`\Sigma_t = e^{A t} \Sigma_0 e^{A^T t} + \int_0^t e^{A u} G G^T e^{A^T u} du`. Without detailed balance,
:math:`A G G^T \ne G G^T A^T`, the stationary state carries a current.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from physcore.law import Gaussian
from physcore.linear_flow import linear_flow
from physcore.process import Variable
from physcore.solvable import SolvableProcess

__all__ = ["OrnsteinUhlenbeck"]

Matrix = tuple[tuple[float, ...], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OrnsteinUhlenbeck(SolvableProcess):
    r"""A linear process with additive noise, :math:`dX = A X dt + G dW`.

    Arguments:
        drift_matrix: :math:`A`, all eigenvalues with negative real part, [1 / time].
        noise_matrix: :math:`G`, a row for each component, [length / sqrt(time)]; it may drive only some components.
        initial_mean: :math:`\mu_0`, zero when None, [length].
        initial_covariance: :math:`\Sigma_0`, positive definite, the identity when None, [length^2].

    Raises:
        ValueError: If shapes disagree, :math:`A` is unstable, or the noise leaves a direction untouched.

    Source:
        Gardiner, Handbook of Stochastic Methods (2004), section 4.4.6.
    """

    drift_matrix: Matrix = ((-1.0, 0.0), (0.0, -1.0))
    noise_matrix: Matrix = ((math.sqrt(2.0), 0.0), (0.0, math.sqrt(2.0)))
    initial_mean: tuple[float, ...] | None = None
    initial_covariance: Matrix | None = None

    def __post_init__(self) -> None:
        drift, noise = _matrix("drift_matrix", self.drift_matrix), _matrix("noise_matrix", self.noise_matrix)
        d = drift.shape[0]
        if drift.shape != (d, d):
            raise ValueError(f"`drift_matrix` must be square; got shape {drift.shape}.")
        if noise.shape[0] != d:
            raise ValueError(f"`noise_matrix` must have {d} rows, one for each component; got shape {noise.shape}.")
        largest = np.linalg.eigvals(drift).real.max()
        if largest >= 0:
            raise ValueError(
                f"`drift_matrix` must be stable; the largest real part of its eigenvalues is {largest:.3g}."
            )
        mean = np.zeros(d) if self.initial_mean is None else np.asarray(self.initial_mean, dtype=float)
        covariance = (
            np.eye(d) if self.initial_covariance is None else _matrix("initial_covariance", self.initial_covariance)
        )
        if mean.shape != (d,):
            raise ValueError(f"`initial_mean` must have {d} entries; got shape {mean.shape}.")
        if covariance.shape != (d, d) or not np.allclose(covariance, covariance.T):
            raise ValueError(f"`initial_covariance` must be symmetric of shape ({d}, {d}); got {covariance.shape}.")
        if np.linalg.eigvalsh(covariance).min() <= 0:
            raise ValueError(
                f"`initial_covariance` must be positive definite; its lowest eigenvalue is "
                f"{np.linalg.eigvalsh(covariance).min():.3g}."
            )
        for name, value in (("drift_matrix", drift), ("noise_matrix", noise), ("initial_covariance", covariance)):
            object.__setattr__(self, name, tuple(tuple(float(entry) for entry in row) for row in value))
        object.__setattr__(self, "initial_mean", tuple(float(entry) for entry in mean))
        if np.linalg.eigvalsh(self._stationary()).min() <= 1e-12 * np.abs(self._stationary()).max():
            raise ValueError("`noise_matrix` leaves a direction of the state untouched, so the process has no density.")

    @classmethod
    def rotating_trap(
        cls, *, stiffness: float = 1.0, rotation: float = 1.0, diffusivity: float = 1.0
    ) -> "OrnsteinUhlenbeck":
        r"""A particle in a planar trap that also pushes it around.

        .. math:: dx = (-k x - a y)\,dt + \sqrt{2 D}\,dW_1, \qquad dy = (a x - k y)\,dt + \sqrt{2 D}\,dW_2

        Arguments:
            stiffness: Rate :math:`k` of return, [1 / time].
            rotation: Angular velocity :math:`a` of the force, [1 / time].
            diffusivity: :math:`D`, [length^2 / time].

        Returns:
            The process; its stationary entropy production rate is :math:`2 a^2 / k`.
        """
        noise = math.sqrt(2 * diffusivity)
        return cls(
            drift_matrix=((-stiffness, -rotation), (rotation, -stiffness)), noise_matrix=((noise, 0.0), (0.0, noise))
        )

    @classmethod
    def brownian_gyrator(
        cls, *, stiffness: float = 1.0, friction: float = 1.0, hot: float = 2.0, cold: float = 1.0
    ) -> "OrnsteinUhlenbeck":
        r"""Two beads at two temperatures, joined to each other and to walls by equal springs.

        .. math:: \gamma\,dx_1 = k (x_2 - 2 x_1)\,dt + \sqrt{2 \gamma T_h}\,dW_1, \qquad
                  \gamma\,dx_2 = k (x_1 - 2 x_2)\,dt + \sqrt{2 \gamma T_c}\,dW_2

        Arguments:
            stiffness: Spring constant :math:`k`, [energy / length^2].
            friction: Friction coefficient :math:`\gamma`, [energy time / length^2].
            hot: Temperature :math:`T_h` of the first bead, [energy].
            cold: Temperature :math:`T_c` of the second bead, [energy].

        Returns:
            The process; its stationary entropy production rate is
            :math:`k (T_h - T_c)^2 / (4 \gamma T_h T_c)`.

        Source:
            Li, Horowitz, Gingrich and Fakhri, Quantifying dissipation using fluctuating currents (2019).
        """
        rate = stiffness / friction
        return cls(
            drift_matrix=((-2 * rate, rate), (rate, -2 * rate)),
            noise_matrix=((math.sqrt(2 * hot / friction), 0.0), (0.0, math.sqrt(2 * cold / friction))),
        )

    @property
    def variables(self) -> tuple[Variable, ...]:  # type: ignore[override]
        """One variable for each row of the drift matrix, ``x0``, ``x1``, ..."""
        return tuple(
            Variable(f"x{i}", long_name=f"component {i}", symbol=f"x_{{{i}}}") for i in range(len(self.drift_matrix))
        )

    @functools.cached_property
    def _drift_array(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        # An array is kept and not a tensor: one made inside a transform of torch.func belongs to that alone.
        return np.array(self.drift_matrix)

    def _linear_part(self, state: Tensor) -> Tensor:
        return torch.from_numpy(self._drift_array).to(state)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        # Column by column and not as a matrix product, whose rounding depends on the number of paths.
        columns = self._linear_part(state).T.contiguous()
        drift = state[..., :1] * columns[0]
        for j in range(1, len(columns)):
            drift = torch.addcmul(drift, state[..., j : j + 1], columns[j])
        return drift

    def jacobian(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift matrix, shape ``(..., component, component)``; see ``Process.jacobian``."""
        matrix = self._linear_part(state)
        return matrix.expand(*state.shape[:-1], *matrix.shape)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(component, noise)``; see ``Process.noise``."""
        return torch.tensor(self.noise_matrix, dtype=torch.float64)

    def law(self, time: Tensor) -> Gaussian:
        """Return the exact Gaussian law at times of shape ``(...)``, in float64; see ``SolvableProcess.law``."""
        time = torch.as_tensor(time, dtype=torch.float64)
        d = self.dimension
        drift = torch.tensor(self.drift_matrix, dtype=torch.float64, device=time.device).unsqueeze(-1)
        noise = torch.tensor(self.noise_matrix, dtype=torch.float64, device=time.device)
        still = torch.zeros(d, 1, dtype=torch.float64, device=time.device)
        flow = linear_flow(drift, still, (noise @ noise.T).unsqueeze(-1), time.reshape(-1))
        propagator = flow.propagator.permute(2, 0, 1)
        start = Gaussian(
            mean=torch.tensor(self.initial_mean, dtype=torch.float64, device=time.device),
            covariance=torch.tensor(self.initial_covariance, dtype=torch.float64, device=time.device),
        )
        covariance = propagator @ start.covariance @ propagator.mT + flow.covariance.permute(2, 0, 1)
        mean = propagator @ start.mean
        return Gaussian(mean=mean.reshape(*time.shape, d), covariance=covariance.reshape(*time.shape, d, d))

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, component)``; see ``Process.sample_initial``."""
        return self.law(torch.zeros(())).sample(paths, generator)

    def stationary_law(self) -> Gaussian:
        r"""Return the stationary law, whose covariance solves :math:`A \Sigma + \Sigma A^T + G G^T = 0`."""
        covariance = torch.from_numpy(self._stationary())
        return Gaussian(mean=covariance.new_zeros(self.dimension), covariance=covariance)

    def stationary_score(self, state: Tensor) -> Tensor:
        """Return the score of the stationary law, shape of ``state``; see ``Process.stationary_score``."""
        return self.stationary_law().score(state.double()).to(state.dtype)

    def _stationary(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        drift, noise = np.array(self.drift_matrix), np.array(self.noise_matrix)
        solution = scipy.linalg.solve_continuous_lyapunov(drift, -noise @ noise.T)
        symmetric: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = (solution + solution.T) / 2
        return symmetric


def _matrix(name: str, value: Sequence[Sequence[float]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    try:
        matrix = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be a matrix of numbers; got {value!r}.") from error
    if matrix.ndim != 2 or not np.isfinite(matrix).all():
        raise ValueError(f"`{name}` must be a matrix of finite numbers; got {value!r}.")
    return matrix
