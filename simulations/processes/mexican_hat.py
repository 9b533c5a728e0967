r"""A particle driven around a Mexican hat, out of equilibrium with a known stationary law.

.. math:: dx = \left(-\frac{1}{\eta} \nabla U(x) + \Omega \begin{pmatrix} -x_2 \\ x_1 \end{pmatrix}\right) dt
          + \sqrt{2 T / \eta}\,dW, \qquad U = E_b \left(|x|^2 / a^2 - 1\right)^2

The rotation has no divergence and runs along the level lines of :math:`U`, so :math:`\nabla \cdot (\Omega\,p) = 0` for
any density of :math:`|x|`, and the Boltzmann law stays stationary. The current :math:`p\,\Omega (-x_2, x_1)` remains;
it dissipates :math:`\eta \Omega^2 \langle |x|^2 \rangle / T` per time (derived).
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.law import Gaussian
from physcore.process import Variable
from simulations.potentials.mexican_hat import MexicanHatPotential
from simulations.processes.overdamped import Overdamped
from simulations.stationary_moment import stationary_moment
from simulations.validation import check_finite, check_positive

__all__ = ["MexicanHat"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MexicanHat(Overdamped):
    r"""A Brownian particle in a Mexican hat under a rotational force. Boltzmann's constant is 1.

    Arguments:
        barrier: Height :math:`E_b` of the hill above the valley, [energy].
        radius: Radius :math:`a` of the valley, [length].
        rotation: Angular velocity :math:`\Omega` of the rotational force, [1 / time].
        temperature: Temperature :math:`T`, [energy].
        friction: Friction coefficient :math:`\eta`, [energy time / length^2].
        initial_width: Standard deviation of the Gaussian initial law about the hill, [length].

    Raises:
        ValueError: If the rotation is not finite or another parameter is not positive and finite.

    Source:
        Otsubo, Ito, Dechant and Sagawa, Estimating entropy production by machine learning of short-time fluctuating
        currents (2020), a Mexican hat with a nonconservative force. The rigid rotation, the parameters and the initial
        law are ours.
    """

    barrier: float = 1.0
    radius: float = 1.0
    rotation: float = 1.0
    temperature: float = 0.5
    friction: float = 1.0
    initial_width: float = 0.5

    variables = (
        Variable("x", long_name="first coordinate"),
        Variable("y", long_name="second coordinate"),
    )

    def __post_init__(self) -> None:
        check_finite(rotation=self.rotation)
        check_positive(**{name: value for name, value in self.parameters.items() if name != "rotation"})

    @property
    def potential(self) -> MexicanHatPotential:
        """The potential."""
        return MexicanHatPotential(barrier=self.barrier, radius=self.radius)

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """The virial and the mean square distance in the stationary state; see ``Process.known_moments``."""
        squared = stationary_moment(
            "mean square distance", lambda state: (state * state).sum(-1), self.stationary_mean_square
        )
        return (*super().known_moments, squared)

    @property
    def stationary_mean_square(self) -> float:
        r"""Exact stationary :math:`\langle |x|^2 \rangle`, derived, [length^2].

        With :math:`s = |x|^2 / a^2` uniform in area and :math:`h = E_b / T`, the law of :math:`s \ge 0` is the cut
        Gaussian :math:`\propto e^{-h (s - 1)^2}`, whose mean is
        :math:`1 + e^{-h} / (\sqrt{\pi h}\,(1 + \operatorname{erf} \sqrt h))`.
        """
        height = self.barrier / self.temperature
        cut = math.exp(-height) / (math.sqrt(math.pi * height) * (1 + math.erf(math.sqrt(height))))
        return self.radius**2 * (1 + cut)

    @property
    def stationary_entropy_production_rate(self) -> float:
        r"""Exact stationary entropy production rate :math:`\eta \Omega^2 \langle |x|^2 \rangle / T`, [1 / time]."""
        return self.friction * self.rotation**2 * self.stationary_mean_square / self.temperature

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        x, y = state.unbind(-1)
        return super().drift(state, time) + self.rotation * torch.stack([-y, x], -1)

    def stationary_log_density(self, state: Tensor) -> Tensor:
        """Return the normalised log density of the stationary law, shape ``(...)``, of states ``(..., 2)``."""
        height = self.barrier / self.temperature
        area = math.pi * self.radius**2 * math.sqrt(math.pi / height) * (1 + math.erf(math.sqrt(height))) / 2
        return super().stationary_log_density(state) - math.log(area)

    @property
    def initial_law(self) -> Gaussian:
        """The law at time zero, Gaussian about the hill."""
        covariance = self.initial_width**2 * torch.eye(2, dtype=torch.float64)
        return Gaussian(mean=torch.zeros(2, dtype=torch.float64), covariance=covariance)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, 2)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state.double()).to(state.dtype)
