r"""The residual multilayer perceptron.

.. math:: h \leftarrow h + W_2\,\sigma\!\left(W_1\,\sigma\!\left((1 + a(c))\,\mathrm{norm}(h) + b(c)\right)\right),
          \qquad \sigma = \mathrm{SiLU}

The embedded clock :math:`c` scales and shifts the normalised units of every block. The norm is the root mean square,
because torch's layer normalisation has a wrong second derivative where the first is taken in forward mode.

Source: He et al., Identity mappings in deep residual networks (2016); Perez et al., FiLM: visual reasoning with a
general conditioning layer (2018); Zhang and Sennrich, Root mean square layer normalization (2019).
"""

import dataclasses

from torch import Tensor, nn

from physcore.score.networks.clock_embedding import ClockEmbedding
from physcore.score.networks.network import Architecture, Layout, Network, check_counts, near_zero

__all__ = ["ResidualMLP", "ResidualMLPNetwork"]


class ResidualBlock(nn.Module):
    """Two layers on normalised units that the embedded clock modulates, added to what they were given.

    Arguments:
        width: Units.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, eps=1e-5, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        self.layers = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        """Return the units, shape ``(batch, width)``, of units and embedding of the same shape."""
        scale, shift = self.modulation(embedding).chunk(2, -1)
        moved: Tensor = hidden + self.layers((1 + scale) * self.norm(hidden) + shift)
        return moved


class ResidualMLPNetwork(Network):
    """Residual blocks between two linear layers, the last one started near zero.

    Arguments:
        layout: What it is given and must return.
        width: Units of a layer.
        blocks: Number of residual blocks.
    """

    def __init__(self, layout: Layout, *, width: int, blocks: int) -> None:
        super().__init__()
        self.embedding = ClockEmbedding(layout.clock, width)
        self.first = nn.Linear(layout.components * layout.channels, width)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(blocks))
        self.last = nn.Sequential(
            nn.RMSNorm(width, eps=1e-5), nn.SiLU(), near_zero(nn.Linear(width, layout.components))
        )

    def forward(self, features: Tensor, clock: Tensor) -> Tensor:
        """Return the outputs; see ``Network.forward``."""
        embedding, hidden = self.embedding(clock), self.first(features.flatten(1))
        for block in self.blocks:
            hidden = block(hidden, embedding)
        outputs: Tensor = self.last(hidden)
        return outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualMLP(Architecture):
    """A residual multilayer perceptron modulated by time: for scores that change much in time, or many components.

    Arguments:
        width: Units of a layer.
        blocks: Number of residual blocks.

    Raises:
        ValueError: If a number is not positive.
    """

    width: int = 128
    blocks: int = 3

    def __post_init__(self) -> None:
        check_counts(width=self.width, blocks=self.blocks)

    def build(self, layout: Layout) -> ResidualMLPNetwork:
        """Return the network; see ``Architecture.build``."""
        return ResidualMLPNetwork(layout, width=self.width, blocks=self.blocks)
