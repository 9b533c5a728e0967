r"""A weight that grows into heavy tails.

.. math:: m = \operatorname{diag}\left(1 + z_i^2\right)^p, \qquad z_i = (x_i - a_i) / b_i

Where a score decays as :math:`1 / x`, plain score matching hardly sees it. With :math:`p = 1/2`, the inverse slope of
:math:`b \operatorname{arsinh} z`, the weighted score tends to a constant far out, and its mean square exists for every
such law. With :math:`p = 1`, the inverse slope of :math:`b \arctan z`, it rises with :math:`x`, and so does the noise
of few outliers. Negative :math:`p` weighs them down.

Source: Barp et al., Minimum Stein discrepancy estimators (2019), the weight of Student's law; measured location and
scale, and other powers, are derived.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Self

from torch import Tensor

from physcore.score.lags import Pilot
from physcore.score.slicings.diffusion_matrix import DiagonalField, DiffusionMatrix
from physcore.score.slicings.slicing import SlicingField

__all__ = ["TailWeight"]

DEVIATION = 1.4826  # standard deviation of a Gaussian in units of its median absolute deviation
MOST = 2**20  # states that are looked at


@dataclasses.dataclass(frozen=True, kw_only=True)
class TailWeight(DiffusionMatrix):
    r"""A diagonal weight that grows with the distance from the bulk.

    Arguments:
        locations: :math:`a_i`, in units of :math:`x_i`; before a fit the medians are measured when empty.
        scales: :math:`b_i`, in units of :math:`x_i`; 1.4826 median absolute deviations are measured when empty.
        exponent: :math:`p`.

    Raises:
        ValueError: If there are not as many locations as scales, a scale is not positive, or a number is not finite.
    """

    locations: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()
    exponent: float = 0.5

    def __post_init__(self) -> None:
        if len(self.locations) != len(self.scales):
            raise ValueError(f"`locations` must be as many as `scales`, {len(self.scales)}; got {len(self.locations)}.")
        if not all(scale > 0 for scale in self.scales):
            raise ValueError(f"`scales` must be positive; got {self.scales}.")
        if not all(map(math.isfinite, (*self.locations, *self.scales, self.exponent))):
            raise ValueError("`locations`, `scales` and `exponent` must be finite.")

    def field(self, signs: Tensor) -> SlicingField:
        """Return the weight times signs; see ``DiffusionMatrix.field``."""
        return DiagonalField(signs=signs, entries=self._entries)

    def multiply(self, state: Tensor, vector: Tensor) -> Tensor:
        """Return the product with the weight; see ``DiffusionMatrix.multiply``."""
        return self._entries(state)[0] * vector

    def transposed(self, state: Tensor, covector: Tensor) -> Tensor:
        """Return the product with the weight; see ``DiffusionMatrix.transposed``."""
        return self.multiply(state, covector)

    def second_moment_divergence(self, state: Tensor) -> Tensor:
        """Return twice the weight times its slope; see ``Slicing.second_moment_divergence``."""
        entry, slope = self._entries(state)
        return 2 * entry * slope

    def fitted(self, pilot: Pilot) -> Self:
        """Return the weight with location and scale of the simulated states; see ``Slicing.fitted``.

        Raises:
            ValueError: If more than half of the values of a component are the same.
        """
        if self.scales:
            return self
        states = pilot.states.flatten(0, 1)
        states = states[:: max(1, len(states) // MOST)].double()
        median = states.median(0).values
        scale = DEVIATION * (states - median).abs().median(0).values
        if not bool((scale > 0).all()):
            raise ValueError("`scales` cannot be measured: most values of a component are the same. Give them.")
        return dataclasses.replace(self, locations=tuple(median.tolist()), scales=tuple(scale.tolist()))

    def restricted(self, components: Sequence[int]) -> Self:
        """Return the weight of some components; see ``Slicing.restricted``."""
        locations, scales = (tuple(values[i] for i in components) for values in (self.locations, self.scales))
        return dataclasses.replace(self, locations=locations, scales=scales)

    @property
    def _entries(self) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        if not self.scales:
            raise ValueError("`scales` are not known yet; a fit measures them, or give them or call `fitted`.")

        def entries(state: Tensor) -> tuple[Tensor, Tensor]:
            if state.shape[-1] != len(self.scales):
                raise ValueError(f"`state` must have {len(self.scales)} components; got {state.shape[-1]}.")
            z = (state - state.new_tensor(self.locations)) / state.new_tensor(self.scales)
            base = 1 + z * z
            weight = base**self.exponent
            return weight, 2 * self.exponent * weight / base * z / state.new_tensor(self.scales)

        return entries
