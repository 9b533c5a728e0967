r"""The embedding of the clock.

.. math:: e(c) = W_2\,\mathrm{SiLU}\!\left(W_1\left[c, \sin(\omega_j c), \cos(\omega_j c)\right]\right), \qquad
          \omega_j = 2^{j - 1} \pi

A network that saw the clock :math:`c` alone would learn its fast changes last; its Fourier features bring them to order
one. The slowest turns once where :math:`c` runs over four, so that the ends of [-1, 1] stay apart.

Source: Tancik et al., Fourier features let networks learn high frequency functions in low dimensional domains (2020).
Departs from it: fixed octaves in place of random frequencies.
"""

import math

import torch
from torch import Tensor, nn

__all__ = ["ClockEmbedding"]


class ClockEmbedding(nn.Module):
    """Fourier features of the clock through a perceptron of one hidden layer.

    Arguments:
        clock: Features of time, numbers of order one.
        width: Units of the embedding.
        frequencies: Number of octaves.
    """

    frequency: Tensor

    def __init__(self, clock: int, width: int, frequencies: int = 6) -> None:
        super().__init__()
        octaves = math.pi * 2.0 ** torch.arange(-1, frequencies - 1)
        self.register_buffer("frequency", octaves, persistent=False)
        features = clock * (1 + 2 * frequencies)
        self.layers = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, clock: Tensor) -> Tensor:
        """Return the embedding, shape ``(batch, width)``, of a clock of shape ``(batch, clock)``."""
        phase = (clock.unsqueeze(-1) * self.frequency).flatten(1)
        embedding: Tensor = self.layers(torch.cat([clock, phase.sin(), phase.cos()], -1))
        return embedding
