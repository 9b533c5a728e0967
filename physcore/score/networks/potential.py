r"""The gradient of a scalar.

.. math:: n_i(x) = \frac{\partial}{\partial x_i} \sum_j x_j m_j(x, \dots)

:math:`m` is another network and :math:`x` the standardised state, channel 0 of the features. The product with the state
lets every parameter matter, a bias of the last layer too, which adds a constant force; it keeps the symmetries of
:math:`m`, and starts near zero where :math:`m` does.

The output is free of curl in :math:`x` where the other channels and the clock do not depend on the state, and so is a
score that is this output over the scale of each component: take it for a direct parametrisation. The features of the
local one depend on the state, and its frame turns with it; there nothing is gained.

Source: Salimans and Ho, Should EBMs model the energy or the score? (2021). Departs from it: the scalar is linear in the
wrapped network, where they take the squared distance of its output from the state.
"""

import dataclasses

import torch
from torch import Tensor

from physcore.score.networks.mlp import MLP
from physcore.score.networks.network import Architecture, Layout, Network

__all__ = ["Potential", "PotentialNetwork"]


class PotentialNetwork(Network):
    """The gradient, with respect to channel 0, of the product of state and output of another network.

    Arguments:
        network: The network :math:`m`.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor, clock: Tensor) -> Tensor:
        """Return the gradient, also where gradients are switched off; see ``Network.forward``."""

        def scalar(state: Tensor) -> Tensor:
            given = torch.cat([state.unsqueeze(-1), features[..., 1:]], -1)
            # The scalar of a sample depends on no other sample, so the gradient of the sum holds that of each.
            product: Tensor = state * self.network(given, clock)
            return product.sum()

        gradient: Tensor = torch.func.grad(scalar)(features[..., 0])
        return gradient


@dataclasses.dataclass(frozen=True, kw_only=True)
class Potential(Architecture):
    """The gradient of a scalar, for scores that are to be free of curl; a call costs three of the wrapped network.

    Arguments:
        network: The network behind the scalar.
    """

    network: Architecture = dataclasses.field(default_factory=MLP)

    def build(self, layout: Layout) -> PotentialNetwork:
        """Return the network; see ``Architecture.build``."""
        return PotentialNetwork(self.network.build(layout))
