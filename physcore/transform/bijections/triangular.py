r"""Scores through transformations of a flow whose Jacobian is triangular: couplings and autoregressive ones.

A conditioner makes of some components the parameters of functions of one variable, :math:`y_i = f(x_i; c_i(x))`, where
:math:`c_i` sees only components that come before :math:`i`. With :math:`D` the slopes of these functions and :math:`N`
the derivative through the conditioner, :math:`J = D + N`, the score after the transformation solves

.. math:: (D + N)^T u = s - \nabla_x \log |\det J|, \qquad
          u \leftarrow D^{-1} (s - \nabla_x \log |\det J| - N^T u),

by back-substitution: :math:`N` is nilpotent, so the iteration ends, for a coupling after one product. Neither way asks
for more of the conditioner than one evaluation and products with its transposed derivative: the inverse, which an
autoregressive transformation has only component by component, is never differentiated. Where its network is masked, see
``masked_sweep``, which needs no more than one evaluation of it and one product in all.

Source: derived. Couplings: Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP (2016); autoregressive:
Papamakarios, Pavlakou and Murray, Masked autoregressive flow for density estimation (2017).
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from physcore.transform.bijections.conditioner import Conditioner, conditioner
from physcore.transform.bijections.fused_sweep import FusedSweep
from physcore.transform.bijections.masked_sweep import MaskedSweep, masked_levels

__all__ = ["Autoregressive", "Coupling", "Fused", "Triangular", "triangular"]


@dataclasses.dataclass(frozen=True)
class Coupling:
    """A transformation of some components by functions whose parameters the others determine.

    Arguments:
        transform: A ``CouplingTransform`` of zuko.
    """

    transform: Any

    def carry(self, state: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and score after the transformation, each of the shape of ``state``."""
        given, moved = (_watched(part) for part in self._parts(state))
        kept, driving = self._parts(score)
        with torch.enable_grad():
            value, growth = _summed(self.transform.meta(given).call_and_ladj(moved))
            (slope,) = _slopes(value.sum(), moved, further=True)
            (bend,) = _slopes(growth, moved, further=True)
            carried = (driving - bend) / slope
            (back,) = _slopes(growth + (value * carried).sum(), given)
        return self._joined(state, None, value.detach()), self._joined(score, kept - back, carried)

    def carry_back(self, image: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and score before the transformation, each of the shape of ``image``."""
        fixed, reached = self._parts(image)
        kept, driving = self._parts(score)
        given = _watched(fixed)
        with torch.enable_grad():
            univariate = self.transform.meta(given)
            with torch.no_grad():
                origin = univariate.inv(reached)
            moved = _watched(origin)
            value, growth = _summed(univariate.call_and_ladj(moved))
            back, along = _slopes(growth + (value * driving).sum(), given, moved)
        return self._joined(image, None, origin), self._joined(score, kept + back, along)

    def inverse(self, image: Tensor) -> Tensor:
        """Return the points before the transformation, of the shape of ``image``."""
        found: Tensor = self.transform.inv(image)
        return found

    def _parts(self, state: Tensor) -> tuple[Tensor, Tensor]:
        return state.index_select(-1, self.transform.idx_a), state.index_select(-1, self.transform.idx_b)

    def _joined(self, like: Tensor, kept: Tensor | None, moved: Tensor) -> Tensor:
        whole = like.clone() if kept is None else torch.empty_like(like).index_copy_(-1, self.transform.idx_a, kept)
        return whole.index_copy_(-1, self.transform.idx_b, moved)


@dataclasses.dataclass(frozen=True)
class Autoregressive:
    """A transformation of every component by a function whose parameters the earlier ones determine.

    Arguments:
        transform: An ``AutoregressiveTransform`` of zuko, which can be inverted in so many ``passes``.
    """

    transform: Any

    def carry(self, state: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and score after the transformation, each of the shape of ``state``."""
        given, moved = _watched(state), _watched(state)
        with torch.enable_grad():
            value, growth = _summed(self.transform.meta(given).call_and_ladj(moved))
            (slope,) = _slopes(value.sum(), moved, further=True)
            wanted = score - sum(_slopes(growth, given, moved, further=True))
            carried = wanted / slope
            for last in range(self.transform.passes - 2, -1, -1):
                (along,) = _slopes((value * carried).sum(), given, further=last > 0)
                carried = (wanted - along) / slope
        return value.detach(), carried

    def carry_back(self, image: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and score before the transformation, each of the shape of ``image``."""
        found = torch.zeros_like(image)
        with torch.no_grad():
            for _ in range(self.transform.passes - 1):
                found = self.transform.meta(found).inv(image)
        # What the last component is found from does not depend on it.
        given = _watched(found)
        with torch.enable_grad():
            univariate = self.transform.meta(given)
            with torch.no_grad():
                origin = univariate.inv(image)
            moved = _watched(origin)
            value, growth = _summed(univariate.call_and_ladj(moved))
            back, along = _slopes(growth + (value * score).sum(), given, moved)
        return origin, back + along


@dataclasses.dataclass(frozen=True)
class Fused:
    """A transformation by a compiled kernel where one can take the place of torch.

    Arguments:
        kernel: The kernel.
        otherwise: The way through torch.
    """

    kernel: FusedSweep
    otherwise: Coupling | MaskedSweep

    def carry(self, state: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and scores after the transformation, each of the shape of ``state``."""
        return self.kernel.carry(state, score) or self.otherwise.carry(state, score)

    def carry_back(self, image: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and scores before the transformation, each of the shape of ``image``."""
        return self.kernel.carry_back(image, score) or self.otherwise.carry_back(image, score)

    def inverse(self, image: Tensor) -> Tensor:
        """Return the points before the transformation, of the shape of ``image``."""
        found = self.kernel.inverse(image)
        return self.otherwise.inverse(image) if found is None else found


Triangular = Fused | Coupling | Autoregressive | MaskedSweep


def triangular(transform: Any) -> Triangular | None:
    """Return how a transformation carries scores if its Jacobian is triangular, None for any other.

    Arguments:
        transform: A transformation of zuko.
    """
    if not hasattr(transform, "meta"):
        return None
    network = conditioner(transform)
    if hasattr(transform, "idx_a") and hasattr(transform, "idx_b"):
        return Coupling(transform) if network is None else _fused_coupling(transform, network)
    if not isinstance(getattr(transform, "passes", None), int):
        return None
    masks = None if network is None else network.masks
    if network is None or masks is None:
        return Autoregressive(transform)
    levels = masked_levels(masks, network.parameters)
    return Fused(FusedSweep(network, levels, masks), MaskedSweep(network, levels))


def _fused_coupling(transform: Any, network: Conditioner) -> Fused:
    """Return a coupling as two levels: what is given and the units, and what they move."""
    given, moved = len(transform.idx_a), len(transform.idx_b)
    components = torch.zeros(given + moved, dtype=torch.long).index_fill_(0, transform.idx_b.cpu(), 1)
    units = [torch.zeros(layer.weight.shape[0], dtype=torch.long) for layer in network.linear[:-1]]
    levels = [components, *units, torch.ones(moved * network.parameters, dtype=torch.long)]
    return Fused(FusedSweep(network, levels, None), Coupling(transform))


def _watched(part: Tensor) -> Tensor:
    return part.detach().requires_grad_()


def _summed(found: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return values and the sum of all log-determinants."""
    return found[0], found[1].sum()


def _slopes(value: Tensor, *inputs: Tensor, further: bool = False) -> tuple[Tensor, ...]:
    if not value.requires_grad:
        return tuple(torch.zeros_like(tensor) for tensor in inputs)
    return torch.autograd.grad(value, inputs, retain_graph=further, materialize_grads=True)
