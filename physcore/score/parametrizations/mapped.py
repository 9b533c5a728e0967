r"""A score learned in other coordinates, and transformed back.

.. math:: y = \phi(x), \qquad \nabla_y \log q(y, t) = \sigma^{-1} n_\theta(y, t), \qquad
          s_\theta(x, t) = J^T \sigma^{-1} n_\theta(\phi(x), t) + \nabla_x \log |\det J|

The network has the score of the mapped state to learn, in units of that state. In polar coordinates, or in a frame
that turns with the particle, a law may be straight, or independent of an angle, that is curved in Cartesian ones.
Targets and samples stay those of the process, so that its noise need not depend on the state. The loss is measured in
the mapped frame, :math:`|\sigma J^{-T} (s_\theta - s)|^2`, as the difference of the mapped scores: a weight that
depends on the evaluation point alone leaves the minimiser the score. Periodic coordinates are shown by sine and cosine.

Source: Robbins, Score Change of Variables (2024), the theorem; that targets transform as scores do is derived.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from physcore.process import Process
from physcore.registry import plain
from physcore.score.components import Components, Selection
from physcore.score.lags import LagSchedule, Pilot
from physcore.score.model import Prepared, Rows, ScoreFrame, ScoreModel
from physcore.score.networks import Architecture
from physcore.score.parametrizations.parametrization import Parametrization
from physcore.transform.bijections import Bijection, Composition

__all__ = ["Mapped", "MappedFrame", "MappedScore"]

LARGEST_ANGLE = 1.0  # radian, unit of the score of an angle that is spread over the circle


@dataclasses.dataclass(frozen=True)
class MappedFrame(ScoreFrame):
    r"""The frame :math:`M^T = \sigma J^{-T}` of a map.

    Arguments:
        bijection: The map.
        state: The points, shape ``(batch, component)``.
        scale: Units :math:`\sigma` of the mapped components, shape ``(component,)``.
    """

    bijection: Bijection
    state: Tensor
    scale: Tensor

    def weight(self, score: Tensor) -> Tensor:
        r"""Return :math:`\sigma J^{-T} s`; see ``ScoreFrame.weight``."""
        return self.scale * self.bijection.inverse_pull(self.state, score)

    def unweight(self, weighted: Tensor) -> Tensor:
        r"""Return :math:`J^T \sigma^{-1} w`; see ``ScoreFrame.unweight``."""
        return self.bijection.pull(self.state, weighted / self.scale)

    def rows(self, rows: Rows) -> "MappedFrame":
        """Return the frame of some of the points; see ``ScoreFrame.rows``."""
        return MappedFrame(self.bijection, self.state[rows], self.scale)


class MappedScore(ScoreModel):
    """A score stated in the coordinates that a map leads to.

    Arguments:
        process: The process, in its own coordinates.
        time_range: First and last time of training.
        bijection: The map.
        periodic: Mapped components that are angles.
        center: Mean of the mapped states, one for each component; of an angle it plays no part.
        scale: Standard deviation of the mapped states, for an angle on the circle.
        network: The network, shown the standardised mapped state and, of angles, sine and cosine.
        components: Which components are learned: all, since a map mixes them.

    Raises:
        ValueError: If map and process do not fit, a periodic component is none, or not all are to be learned.
    """

    center: Tensor
    scale: Tensor

    def __init__(
        self,
        process: Process,
        time_range: tuple[float, float],
        *,
        bijection: Bijection,
        periodic: tuple[int, ...] = (),
        center: list[float],
        scale: list[float],
        network: Architecture,
        components: Selection = "all",
    ) -> None:
        super().__init__(process, time_range, components=components)
        check_map(process, bijection, periodic, self.learned)
        self.hold(center=center, scale=scale)
        self.bijection, self.periodic = bijection, periodic
        angles = torch.zeros(process.dimension, dtype=torch.bool)
        angles[list(periodic)] = True
        self.register_buffer("angles", angles, persistent=False)
        self.architecture = network
        self.network = network.build(self.layout(channels=2 if periodic else 1))

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this model; see ``ScoreModel.options``."""
        return {
            "bijection": plain(self.bijection),
            "periodic": list(self.periodic),
            "center": self.center.tolist(),
            "scale": self.scale.tolist(),
            "network": plain(self.architecture),
            "components": self.learned.selection,
        }

    def prepare(self, state: Tensor, time: Tensor) -> Prepared:
        """Return features of mapped points, what the map adds to scores there, and the frame; see ``ScoreModel``."""
        image, added = self.bijection.carry_score(state, torch.zeros_like(state))
        angles = self.get_buffer("angles")
        shown = (image - self.center) / self.scale
        channels = [torch.where(angles, torch.sin(image), shown)]
        if self.periodic:
            channels.append(torch.where(angles, torch.cos(image), 0.0))
        features = torch.stack([*channels, -self.scale * added], -1)
        return Prepared(features, self.clock(time), MappedFrame(self.bijection, state, self.scale))

    def weighted(self, prepared: Prepared) -> Tensor:
        r"""Return :math:`n_\theta + \sigma J^{-T} \nabla_x \log |\det J|`; see ``ScoreModel.weighted``."""
        found: Tensor = self.network(prepared.features[..., :-1], prepared.clock)
        return found + prepared.features[..., -1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mapped(Parametrization):
    """A network in the coordinates that a map leads to, such as polar ones; the score stays that of the process.

    Arguments:
        network: The network.
        components: Which components are learned: all, since a map mixes them.
        bijection: The map from the states of the process; the identity by default.
        periodic: Mapped components that are angles, whose features are sine and cosine.

    Raises:
        ValueError: If a setting is not one of those named.
    """

    bijection: Bijection = dataclasses.field(default_factory=Composition)
    periodic: tuple[int, ...] = ()

    def build(
        self, process: Process, pilot: Pilot, schedule: LagSchedule, time_range: tuple[float, float]
    ) -> MappedScore:
        """Return a fresh score in units of the mapped pilot states; see ``Parametrization.build``."""
        check_map(process, self.bijection, self.periodic, Components.of(process, self.components))
        image = self.bijection.forward(pilot.states.flatten(0, 1).double())
        scale = image.std(0)
        scale = torch.where(scale > 0, scale, 1.0)
        for k in self.periodic:
            together = torch.hypot(torch.cos(image[:, k]).mean(), torch.sin(image[:, k]).mean())
            scale[k] = torch.sqrt(-2 * torch.log(together)).clamp(1e-6, LARGEST_ANGLE)
        return MappedScore(
            process,
            time_range,
            bijection=self.bijection,
            periodic=self.periodic,
            center=image.mean(0).tolist(),
            scale=scale.tolist(),
            network=self.network,
            components=self.components,
        )


def check_map(process: Process, bijection: Bijection, periodic: tuple[int, ...], learned: Components) -> None:
    """Refuse a map that does not suit a process.

    Arguments:
        process: The process.
        bijection: The map of its states.
        periodic: Mapped components that are angles.
        learned: The components to learn.

    Raises:
        ValueError: If the dimensions differ, an index is out of range, or not all components are to be learned.
    """
    d = process.dimension
    if bijection.dimension not in (None, d):
        raise ValueError(f"`bijection` has {bijection.dimension} components, the process has {d}.")
    if any(not 0 <= k < d for k in periodic) or len(set(periodic)) < len(periodic):
        raise ValueError(f"`periodic` must be different indices below {d}; got {list(periodic)}.")
    if len(learned) < d:
        raise ValueError("a map mixes the components of a score: with one all of them must be learned.")
