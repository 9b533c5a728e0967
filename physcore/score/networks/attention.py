r"""The transformer of particles.

.. math:: h_i \leftarrow h_i + \mathrm{attention}(\mathrm{norm}(h))_i, \qquad
          h_i \leftarrow h_i + \mathrm{perceptron}(\mathrm{norm}(h_i))

A token :math:`h_i` is a particle. Nothing tells one particle from another but its features, so that the score of
permuted particles is the permuted score.

Source: Boffi and Vanden-Eijnden, Deep learning probability flows and entropy production rates in active matter,
PNAS 121 (2024), whose networks are of this family with 256 units, 4 layers and 4 heads; Vaswani et al., Attention is
all you need (2017). Departs from them: layers normalise first, by the root mean square as in
``residual_mlp``, and the clock is added to every token.
"""

import dataclasses

import torch
from torch import Tensor, nn

from physcore.score.networks.clock_embedding import ClockEmbedding
from physcore.score.networks.network import Architecture, Layout, Network, check_counts, near_zero
from physcore.score.networks.self_attention import SelfAttention, check_heads

__all__ = ["Attention", "AttentionNetwork"]


class TransformerLayer(nn.Module):
    """Attention, then a perceptron for each token, both on normalised units and added to what they were given.

    Arguments:
        width: Units of a token.
        heads: Number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.RMSNorm(width, eps=1e-5), SelfAttention(width, heads))
        self.perceptron = nn.Sequential(
            nn.RMSNorm(width, eps=1e-5), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape, ``(batch, token, width)``."""
        tokens = tokens + self.attention(tokens)
        moved: Tensor = tokens + self.perceptron(tokens)
        return moved


class AttentionNetwork(Network):
    """Transformer layers over particles between two linear layers, the last one started near zero.

    Arguments:
        layout: What it is given and must return.
        width: Units of a particle.
        layers: Number of transformer layers.
        heads: Number of heads.

    Raises:
        ValueError: If the layout has no particles.
    """

    def __init__(self, layout: Layout, *, width: int, layers: int, heads: int) -> None:
        super().__init__()
        if layout.particles is None:
            raise ValueError(
                "`layout` must have `particles`, which attention takes for its tokens; got None. "
                "Use MLP or ResidualMLP where the components are no particles."
            )
        self.particles = layout.particles
        self.variables = layout.components // layout.particles
        self.embedding = ClockEmbedding(layout.clock, width)
        self.first = nn.Linear(self.variables * layout.channels, width)
        self.layers = nn.Sequential(*(TransformerLayer(width, heads) for _ in range(layers)))
        self.last = nn.Sequential(nn.RMSNorm(width, eps=1e-5), near_zero(nn.Linear(width, self.variables)))

    def forward(self, features: Tensor, clock: Tensor) -> Tensor:
        """Return the outputs, permuted with the particles; see ``Network.forward``."""
        # (batch, variable x particle, channel) -> (batch, particle, variable x channel)
        of_particle = torch.unflatten(features, 1, (self.variables, self.particles)).transpose(1, 2).flatten(2)
        tokens = self.first(of_particle) + self.embedding(clock).unsqueeze(1)
        outputs: Tensor = self.last(self.layers(tokens))
        return outputs.transpose(1, 2).flatten(1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attention(Architecture):
    """A transformer of particles, for identical particles: permuting them permutes the output.

    Arguments:
        width: Units of a particle.
        layers: Number of transformer layers.
        heads: Number of heads, a divisor of the width.

    Raises:
        ValueError: If a number is not positive or the heads do not divide the width.
    """

    width: int = 64
    layers: int = 2
    heads: int = 4

    def __post_init__(self) -> None:
        check_counts(width=self.width, layers=self.layers, heads=self.heads)
        check_heads(self.width, self.heads)

    def build(self, layout: Layout) -> AttentionNetwork:
        """Return the network, which needs ``layout.particles``; see ``Architecture.build``."""
        return AttentionNetwork(layout, width=self.width, layers=self.layers, heads=self.heads)
