r"""Overdamped motion in the potential of Mueller and Brown.

.. math:: dx = -\frac{1}{\eta} \nabla U(x)\,dt + \sqrt{2 T / \eta}\,dW, \qquad x \in \mathbb{R}^2

Three wells along a bent path, the standard test of rare transitions. See ``potentials.mueller_brown``.
"""

import dataclasses

import torch
from torch import Tensor

from physcore.law import Gaussian
from physcore.process import Variable
from simulations.potentials.mueller_brown import MuellerBrownPotential
from simulations.processes.overdamped import Overdamped
from simulations.validation import check_positive

__all__ = ["MuellerBrown"]

START = (-0.050, 0.467)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MuellerBrown(Overdamped):
    r"""A Brownian particle in the Mueller-Brown potential, started at its middle minimum. Boltzmann's constant is 1.

    Arguments:
        scale: Factor on the energies of the published potential; with the default the deepest well lies 5.3 below
            the higher saddle.
        temperature: Temperature :math:`T`, [energy].
        friction: Friction coefficient :math:`\eta`, [energy time / length^2].
        initial_width: Standard deviation of the Gaussian initial law in each direction, [length].

    Raises:
        ValueError: If a parameter is not positive and finite.

    Source:
        Mueller and Brown, Location of saddle points and minimum energy paths by a constrained simplex optimization
        procedure (1979). Scale, temperature and initial law are ours; only scale / temperature matters.
    """

    scale: float = 0.05
    temperature: float = 1.0
    friction: float = 1.0
    initial_width: float = 0.15

    variables = (
        Variable("x", long_name="first coordinate"),
        Variable("y", long_name="second coordinate"),
    )

    def __post_init__(self) -> None:
        check_positive(
            scale=self.scale, temperature=self.temperature, friction=self.friction, initial_width=self.initial_width
        )

    @property
    def potential(self) -> MuellerBrownPotential:
        """The potential."""
        return MuellerBrownPotential(scale=self.scale)

    @property
    def initial_law(self) -> Gaussian:
        """The law at time zero, Gaussian about the middle minimum."""
        covariance = self.initial_width**2 * torch.eye(2, dtype=torch.float64)
        return Gaussian(mean=torch.tensor(START, dtype=torch.float64), covariance=covariance)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, 2)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state.double()).to(state.dtype)
