r"""A rate that is linear in time, :math:`\beta(t) = \beta_0 + (\beta_1 - \beta_0) t`, and the clock that it drives."""

from torch import Tensor

__all__ = ["LinearRate"]


class LinearRate:
    """What processes whose drift and noise follow a linear rate have in common; they hold its two values as fields."""

    beta_start: float
    beta_end: float

    def rate(self, time: Tensor) -> Tensor:
        r"""Return :math:`\beta(t)`, shape ``(...)``, at times of shape ``(...)``, [1 / time]."""
        return self.beta_start + time * (self.beta_end - self.beta_start)

    def clock(self, time: Tensor) -> Tensor:
        r"""Return :math:`B(t) = \beta_0 t + (\beta_1 - \beta_0) t^2 / 2`, shape ``(...)``; see ``Process.clock``."""
        return self.beta_start * time + 0.5 * (self.beta_end - self.beta_start) * time * time
