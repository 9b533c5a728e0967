r"""Scores through an autoregressive transformation whose parameters a masked network makes, in one sweep over it.

Units of the network are sorted by level: that of the last component they depend on, in the order in which components
are found. Then every product with the network is block-triangular. On the way back from :math:`y` a unit is computed
once, when the components it depends on are known; on the way of a score,

.. math:: u_i = \left(s_i - \partial_i \textstyle\sum_{j \ge i} \log |\partial_j f_j|
          - \sum_{j > i} u_j\,\partial_i f_j\right) / \partial_i f_i ,

a unit's adjoint is computed once, when those of all that follows it are known. So an inverse, or a solution with the
transposed Jacobian, costs the arithmetic of one evaluation of the network, however many components there are.

Source: derived. The masks are those of Germain, Gregor, Murray and Larochelle, MADE: masked autoencoder for
distribution estimation (2015).
"""

import dataclasses
import itertools

import torch
from torch import Tensor, nn

from physcore.transform.bijections.conditioner import Conditioner
from physcore.transform.bijections.univariate import Univariate, slopes

__all__ = ["MaskedSweep", "masked_levels"]


@dataclasses.dataclass(frozen=True)
class Level:
    """Where the components of a level and the units of that level stand when all are sorted by level.

    Arguments:
        components: Place of the components.
        parameters: Place of their parameters among the outputs of the network.
        units: Place of the units in each hidden layer.
    """

    components: slice
    parameters: slice
    units: tuple[slice, ...]


class MaskedSweep:
    """A masked network and the functions whose parameters it makes.

    Arguments:
        conditioner: The masked network, and what is made of its outputs.
        levels: Levels of components, units and parameters; see ``masked_levels``.
    """

    def __init__(self, conditioner: Conditioner, levels: list[Tensor]) -> None:
        self._linear, self._activations = conditioner.linear, conditioner.activations
        self._univariate = Univariate(conditioner.make, conditioner.shapes)
        self._orders = [torch.argsort(level, stable=True) for level in levels]
        self._levels = _places(levels)

    def carry(self, state: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and score after the transformation, each of the shape of ``state``."""
        layers = self._layers()
        found, wanted = self._sorted(state), self._sorted(score)
        rates, given = [], found
        for (weight, shift), activation in zip(layers, self._activations, strict=False):
            given, slope = _activated(activation, torch.addmm(shift, weight, given))
            rates.append(slope)
        jet = self._univariate.jet(torch.addmm(layers[-1][1], layers[-1][0], given), found)
        wanted, carried = wanted - jet.bend, torch.empty_like(found)
        adjoints = [torch.empty_like(slope) for slope in rates]
        adjoints.append(jet.growth_by_parameters.flatten(0, 1))
        for level in reversed(self._levels[1:]):
            after = slice(level.parameters.stop, None)
            for depth in range(len(rates) - 1, -1, -1):
                rows = level.units[depth]
                pulled = layers[depth + 1][0][after, rows].T @ adjoints[depth + 1][after]
                torch.mul(pulled, rates[depth][rows], out=adjoints[depth][rows])
                after = slice(rows.start, None)
            rows = level.components
            pulled = layers[0][0][after, rows].T @ adjoints[0][after]
            torch.div(wanted[rows] - pulled, jet.slope[rows], out=carried[rows])
            jet.adjoint(carried[rows], rows)
        return self._restored(jet.value, state), self._restored(carried, state)

    def carry_back(self, image: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and score before the transformation, each of the shape of ``image``."""
        layers, carried = self._layers(), self._sorted(score)
        values, sums = self._traced_back(layers, self._sorted(image))
        jet = self._univariate.jet(values[-1], values[0])
        adjoint = jet.adjoint(carried)
        for depth in range(len(sums) - 1, -1, -1):
            adjoint = layers[depth + 1][0].T @ adjoint
            adjoint *= _activated(self._activations[depth], sums[depth])[1]
        back = torch.addcmul(jet.bend + layers[0][0].T @ adjoint, carried, jet.slope)
        return self._restored(values[0], image), self._restored(back, image)

    def inverse(self, image: Tensor) -> Tensor:
        """Return the points before the transformation, of the shape of ``image``."""
        return self._restored(self._traced_back(self._layers(), self._sorted(image))[0][0], image)

    def _traced_back(self, layers: list[tuple[Tensor, Tensor]], reached: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return components before, units and parameters, and what the units are functions of, level by level."""
        values = [torch.empty_like(reached)]
        values += [reached.new_empty(len(weight), reached.shape[1]) for weight, _ in layers]
        sums = [torch.empty_like(value) for value in values[1:-1]]
        for level in self._levels:
            if level.components.stop > level.components.start:
                self._find(layers[-1], level, values, reached)
            before = slice(level.components.stop)
            for depth, activation in enumerate(self._activations):
                rows, (weight, shift) = level.units[depth], layers[depth]
                torch.addmm(shift[rows], weight[rows, before], values[depth][before], out=sums[depth][rows])
                values[depth + 1][rows] = activation(sums[depth][rows])
                before = slice(rows.stop)
        return values, sums

    def _find(self, layer: tuple[Tensor, Tensor], level: Level, values: list[Tensor], reached: Tensor) -> None:
        """Put the parameters of a level and the components that they determine into their places."""
        rows, before = level.parameters, slice(level.units[-1].start if level.units else level.components.start)
        weight, shift = layer
        torch.addmm(shift[rows], weight[rows, before], values[-2][before], out=values[-1][rows])
        values[0][level.components] = self._univariate.inverse(values[-1][rows], reached[level.components])

    def _layers(self) -> list[tuple[Tensor, Tensor]]:
        """Return weights, shape ``(output, input)``, and shifts, ``(output, 1)``, of units sorted by level."""
        layers = []
        for layer, (before, after) in zip(self._linear, itertools.pairwise(self._orders), strict=True):
            weight = (layer.mask * layer.weight).detach()[after][:, before]
            shift = weight.new_zeros(len(after)) if layer.bias is None else layer.bias.detach()[after]
            layers.append((weight, shift.unsqueeze(-1)))
        return layers

    def _sorted(self, state: Tensor) -> Tensor:
        return state.detach().reshape(-1, state.shape[-1]).T[self._orders[0]].contiguous()

    def _restored(self, rows: Tensor, like: Tensor) -> Tensor:
        return torch.empty_like(rows).index_copy_(0, self._orders[0].to(rows.device), rows).T.reshape(like.shape)


def masked_levels(masks: list[Tensor], parameters: int) -> list[Tensor]:
    """Return the levels of components, of the units of each hidden layer, and of the parameters.

    Components that depend on none have level 0, units that do so -1.

    Arguments:
        masks: What each row of each matrix may read, shape ``(output, input)``.
        parameters: Number of parameters of a component.
    """
    reach = [torch.eye(masks[0].shape[1])]
    for mask in masks:
        reach.append((mask.float() @ reach[-1] > 0).float())
    needs = reach[-1].reshape(len(reach[0]), parameters, len(reach[0])).amax(1) > 0
    of_components = torch.zeros(len(needs), dtype=torch.long)
    for _ in range(len(needs)):
        of_components = torch.where(needs, of_components + 1, 0).amax(1)
    units = [torch.where(needed > 0, of_components, -1).amax(1) for needed in reach[1:-1]]
    return [of_components, *units, of_components.repeat_interleave(parameters)]


def _places(levels: list[Tensor]) -> list[Level]:
    """Return the places of each level, the first that of the units that depend on no component."""
    places = []
    for level in range(-1, int(levels[0].max()) + 1):
        starts = [int((found < level).sum()) for found in levels]
        slices = [slice(a, a + int((found == level).sum())) for a, found in zip(starts, levels, strict=True)]
        places.append(Level(slices[0], slices[-1], tuple(slices[1:-1])))
    return places


def _activated(activation: nn.Module, sums: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        watched = sums.detach().requires_grad_()
        value = activation(watched)
        (slope,) = slopes(value, watched)
    return value.detach(), slope
