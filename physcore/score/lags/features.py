r"""Functions of the state in which densities and scores are expanded.

.. math:: 1, \quad u_i, \quad u_i u_j, \quad \cos(w_k \cdot z + b_k), \qquad
          u = \frac{x - \mu}{\sigma}, \quad z = \left(u,\ \operatorname{asinh}\frac{f}{f_{\mathrm{rms}}}\right)

The drift :math:`f` is among the coordinates because densities gather where it vanishes.

Source: Rahimi and Recht, Random features for large-scale kernel machines (2007); the coordinates are derived.
"""

import math

import torch
from torch import Tensor

from physcore.process import Process

__all__ = ["Features"]

MOST_WAVES, STATES_PER_WAVE = 64, 32
MOST_PRODUCTS = 100
SPREAD = 0.7  # of the logarithms of the waves' frequencies about 1


class Features:
    """Features of the states at one time, made to their scales.

    Arguments:
        process: The process.
        state: States, shape ``(batch, component)``.
        time: Their time, shape ``()``.
        generator: Source of randomness for the waves.
    """

    def __init__(self, process: Process, state: Tensor, time: Tensor, generator: torch.Generator) -> None:
        self.process, self.time = process, time
        batch, d = state.shape
        self.centre, self.scale = state.mean(0), state.std(0)
        square = process.drift(state, time).square().mean(0)
        self.drift_scale = torch.where(square > 0, square, 1.0).sqrt()
        pairs = torch.triu_indices(d, d)
        self.pairs = pairs if pairs.shape[1] <= MOST_PRODUCTS else torch.arange(d).expand(2, d)
        waves = min(MOST_WAVES, batch // STATES_PER_WAVE)
        sizes = torch.exp(SPREAD * torch.randn(waves, 1, generator=generator, dtype=state.dtype))
        self.frequencies = sizes * torch.randn(waves, 2 * d, generator=generator, dtype=state.dtype)
        self.phases = 2 * math.pi * torch.rand(waves, generator=generator, dtype=state.dtype)

    def __call__(self, state: Tensor) -> Tensor:
        """Return the features, shape ``(batch, feature)``, of states of shape ``(batch, component)``."""
        u = (state - self.centre) / self.scale
        drift = torch.asinh(self.process.drift(state, self.time) / self.drift_scale)
        waves = torch.cos(torch.cat([u, drift], -1) @ self.frequencies.T + self.phases)
        first, second = self.pairs
        return torch.cat([torch.ones_like(u[:, :1]), u, u[:, first] * u[:, second], waves], -1)

    def gradient(self, state: Tensor) -> Tensor:
        """Return the gradient of every feature, shape ``(batch, feature, component)``, at states."""
        u, slope = (state - self.centre) / self.scale, torch.diag(1 / self.scale)
        first, second = self.pairs
        products = u[:, second].unsqueeze(-1) * slope[first] + u[:, first].unsqueeze(-1) * slope[second]
        drift = self.process.drift(state, self.time) / self.drift_scale
        jacobian = self.process.jacobian(state, self.time.expand(len(state)))
        bent = jacobian / (self.drift_scale * torch.sqrt(1 + drift * drift)).unsqueeze(-1)
        d = state.shape[-1]
        along = self.frequencies[:, :d] / self.scale + self.frequencies[:, d:] @ bent
        angles = torch.cat([u, torch.asinh(drift)], -1) @ self.frequencies.T + self.phases
        waves = -torch.sin(angles).unsqueeze(-1) * along
        own = slope.expand(len(state), -1, -1)
        return torch.cat([torch.zeros_like(own[:, :1]), own, products, waves], 1)
