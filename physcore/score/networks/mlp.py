"""The multilayer perceptron."""

import dataclasses

import torch
from torch import Tensor, nn

from physcore.score.networks.network import Architecture, Layout, Network, check_counts, near_zero

__all__ = ["MLP", "MLPNetwork"]


class MLPNetwork(Network):
    """Linear layers with SiLU between them, on all features and the clock together, the last one started near zero.

    Arguments:
        layout: What it is given and must return.
        width: Units of a hidden layer.
        depth: Number of hidden layers.
    """

    def __init__(self, layout: Layout, *, width: int, depth: int) -> None:
        super().__init__()
        inputs, layers = layout.components * layout.channels + layout.clock, nn.Sequential()
        for _ in range(depth):
            layers.extend([nn.Linear(inputs, width), nn.SiLU()])
            inputs = width
        self.layers = layers.append(near_zero(nn.Linear(inputs, layout.components)))

    def forward(self, features: Tensor, clock: Tensor) -> Tensor:
        """Return the outputs; see ``Network.forward``."""
        outputs: Tensor = self.layers(torch.cat([features.flatten(1), clock], -1))
        return outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class MLP(Architecture):
    """A multilayer perceptron: the quickest, for few components.

    Arguments:
        width: Units of a hidden layer.
        depth: Number of hidden layers.

    Raises:
        ValueError: If a number is not positive.
    """

    width: int = 64
    depth: int = 3

    def __post_init__(self) -> None:
        check_counts(width=self.width, depth=self.depth)

    def build(self, layout: Layout) -> MLPNetwork:
        """Return the network; see ``Architecture.build``."""
        return MLPNetwork(layout, width=self.width, depth=self.depth)
