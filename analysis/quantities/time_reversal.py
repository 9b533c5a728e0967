r"""Time reversal: the parity of each variable, and the parts of a drift that it tells apart.

A motion run backwards shows :math:`\epsilon x`, with :math:`\epsilon_i = 1` for even variables (positions, angles) and
:math:`\epsilon_i = -1` for odd ones (velocities). The drift splits into

.. math:: f^{\rm irr}_i(x) = \tfrac12 \left(f_i(x) + \epsilon_i f_i(\epsilon x)\right), \qquad
          f^{\rm rev}_i(x) = \tfrac12 \left(f_i(x) - \epsilon_i f_i(\epsilon x)\right),

of which the reversible part also carries the reversed motion back. With all variables even the whole drift is
irreversible. An explicit dependence on time is kept at the same time.

Source: Risken, The Fokker-Planck Equation (1989), section 6.4; Spinney and Ford, Entropy production in full phase space
for continuous stochastic dynamics (2012).
"""

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from physcore.diffusivity import Diffusivity
from physcore.process import Process

__all__ = ["TimeReversal"]

TOLERANCE = 1e-6  # of the largest irreversible drift; rounding in a drift of single precision stays below


@dataclasses.dataclass(frozen=True)
class TimeReversal:
    r"""The reversal of a process under a convention of parities.

    Arguments:
        process: The process.
        signs: Parities :math:`\epsilon`, one for each component.
    """

    process: Process
    signs: tuple[int, ...]

    @classmethod
    def of(cls, process: Process, parity: Mapping[str, int] | None = None) -> "TimeReversal":
        """Take the parities that the variables declare, some of them replaced.

        Arguments:
            process: The process.
            parity: 1 or -1 by the name of a variable, for those whose declared parity is not wanted.

        Raises:
            ValueError: If a name is no variable of the process, or a parity is neither 1 nor -1.
        """
        declared = {variable.name: variable.parity for variable in process.variables}
        unknown = sorted(set(parity or {}) - set(declared))
        if unknown:
            raise ValueError(f"`parity` names {unknown}; the variables are {list(declared)}.")
        for name, sign in (parity or {}).items():
            if sign not in (1, -1):
                raise ValueError(f"`parity` of {name!r} must be 1 (even) or -1 (odd); got {sign!r}.")
        return cls(process, tuple((declared | dict(parity or {})).values()))

    @property
    def convention(self) -> str:
        """The convention in words, for attributes: ``"x even, v odd under time reversal"``."""
        signs = set(self.signs)
        if len(signs) == 1:
            return f"all variables {'even' if self.signs[0] == 1 else 'odd'} under time reversal"
        names = zip(self.process.variables, self.signs, strict=True)
        return ", ".join(f"{v.name} {'even' if s == 1 else 'odd'}" for v, s in names) + " under time reversal"

    def parts(self, state: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Return the irreversible and the reversible drift.

        Arguments:
            state: States, shape ``(path, component)``.
            time: One time, shape ``()``.

        Returns:
            Two tensors of the shape of ``state``.
        """
        drift = self.process.drift(state, time)
        if all(sign == 1 for sign in self.signs):
            return drift, torch.zeros_like(drift)
        signs = torch.tensor(self.signs, dtype=state.dtype, device=state.device)
        mirrored = signs * self.process.drift(signs * state, time)
        return 0.5 * (drift + mirrored), 0.5 * (drift - mirrored)

    def divergences(self, state: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Return the divergences of the irreversible and the reversible drift, each of shape ``(path,)``."""
        divergence = self._divergence(state, time)
        if all(sign == 1 for sign in self.signs):
            return divergence, torch.zeros_like(divergence)
        signs = torch.tensor(self.signs, dtype=state.dtype, device=state.device)
        mirrored = self._divergence(signs * state, time)
        return 0.5 * (divergence + mirrored), 0.5 * (divergence - mirrored)

    def check(self, diffusivity: Diffusivity, state: Tensor, time: Tensor) -> None:
        """Refuse a process whose paths and reversed paths no finite entropy production compares.

        Arguments:
            diffusivity: Diffusion matrix at the time.
            state: Some states, shape ``(path, component)``.
            time: The time, shape ``()``.

        Raises:
            ValueError: If noise joins even and odd variables, or an irreversible drift acts where no noise does.
        """
        signs = torch.tensor(self.signs, dtype=torch.float64, device=state.device)
        if not torch.allclose(diffusivity.reflected(signs).values, diffusivity.values):
            raise ValueError(f"noise that drives even and odd variables together has no reversal; {self.convention}.")
        irreversible, _ = self.parts(state, time)
        unreached = irreversible - diffusivity.apply(diffusivity.solve(irreversible))
        scale = irreversible.abs().max()
        wrong = (unreached.abs().amax(0) > TOLERANCE * scale).nonzero().flatten().tolist()
        if wrong:
            names = [self.process.variables[i].name for i in wrong]
            raise ValueError(
                f"the entropy production is infinite: without noise an irreversible drift acts on {names} "
                f"({self.convention}). Give another `parity`, or add noise there."
            )

    def _divergence(self, state: Tensor, time: Tensor) -> Tensor:
        jacobian = self.process.jacobian(state, time)
        return jacobian.diagonal(dim1=-2, dim2=-1).sum(-1)
