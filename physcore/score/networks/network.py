r"""The contract of a network behind a score.

A parametrisation gives a network :math:`k` features of each of the :math:`d` components of a state, shape
``(batch, component, channel)``, channel 0 being the standardised state itself, and :math:`c` features of time, the
clock, shape ``(batch, clock)``. The network returns one number of order one for each component. Its settings are an
``Architecture``, which builds it for a ``Layout``. Every network is twice differentiable, in reverse and in forward
mode, so that a loss may hold the divergence of a score.
"""

import abc
import dataclasses
from typing import ClassVar

from torch import Tensor, nn

__all__ = ["Architecture", "Layout", "Network", "check_counts", "near_zero"]


def check_counts(**counts: object) -> None:
    """Refuse what is no positive integer.

    Arguments:
        counts: Values by the name of the parameter.

    Raises:
        ValueError: If a value is no integer or is below 1.
    """
    for name, count in counts.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ValueError(f"`{name}` must be an integer of at least 1; got {count!r}.")


def near_zero(layer: nn.Linear) -> nn.Linear:
    """Return a last layer with its weights made small and its bias zero, so that a network starts near zero."""
    layer.weight.data.mul_(0.1)
    nn.init.zeros_(layer.bias)
    return layer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """What a network is given and must return.

    Arguments:
        components: Components of a state.
        channels: Features of each component.
        clock: Features of time, shared by all components.
        particles: Particles that the components belong to, laid out as in ``physcore.particles``: the components
            reshape to (variable, particle). None when they are no particles.

    Raises:
        ValueError: If a number is not positive or the components are no multiple of the particles.
    """

    components: int
    channels: int
    clock: int
    particles: int | None = None

    def __post_init__(self) -> None:
        check_counts(components=self.components, channels=self.channels, clock=self.clock)
        if self.particles is None:
            return
        check_counts(particles=self.particles)
        if self.components % self.particles:
            raise ValueError(
                f"`components` must be a multiple of the {self.particles} particles; got {self.components}."
            )


class Network(nn.Module, abc.ABC):
    """A function of features and clock with parameters; subclasses write ``forward``."""

    @abc.abstractmethod
    def forward(self, features: Tensor, clock: Tensor) -> Tensor:
        """Return one number for each component.

        Arguments:
            features: Features, shape ``(batch, component, channel)``, in the dtype of the parameters.
            clock: Features of time, shape ``(batch, clock)``.

        Returns:
            Outputs, shape ``(batch, component)``.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture(abc.ABC):
    """The settings of a network; subclasses are frozen dataclasses and write ``build``.

    An architecture registered in the group below is chosen by name in a configuration,
    ``network: {name: mlp, width: 64}``.

    Attributes:
        group: Entry point group under which architectures are registered.
    """

    group: ClassVar[str] = "physcore.networks"

    @abc.abstractmethod
    def build(self, layout: Layout) -> Network:
        """Return a network with fresh parameters, drawn from torch's global generator.

        Arguments:
            layout: What it is given and must return.

        Raises:
            ValueError: If the architecture does not fit the layout.
        """
