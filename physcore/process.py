r"""The contract of a stochastic process, the single source of a model.

.. math:: dX_t = f(X_t, t)\,dt + G(t)\,dW_t, \qquad X_0 \sim q_0

A process is written once, in torch, batch first and component last. Simulation, the local linearisation behind
the training targets, the Fokker-Planck reference and the reverse-time samplers are all derived from it.
The noise is additive; its matrix :math:`G` has shape (component, noise) and may be degenerate, as when only the
velocity is driven. A process whose noise depends on the state, :math:`G(X_t, t)` in the sense of Ito, declares it by
its ``noise_type``; what cannot use it refuses it.
"""

import abc
import dataclasses
from typing import Any, ClassVar

import torch
from torch import Tensor

from physcore.component_gradients import component_gradients
from physcore.known_moment import KnownMoment
from physcore.low_rank import IdentityPlusLowRank
from physcore.registry import plain
from physcore.variable import Variable

__all__ = ["Process", "Variable"]

FEW_COMPONENTS = 8


class Process(abc.ABC):
    r"""A diffusion with additive noise, :math:`dX = f(X, t) dt + G(t) dW`, unless its ``noise_type`` says otherwise.

    Subclasses set ``variables`` and write ``drift``, ``noise`` and ``sample_initial``. They may give
    ``jacobian`` in closed form, ``initial_log_density`` where the initial law has one and ``stationary_score`` where
    it is known. Parameters are best
    held as fields of a frozen, keyword-only dataclass; their names are the physical ones.

    Attributes:
        group: Entry point group under which processes are registered.
        variables: The components of the state, in order.
        time_units: Units of time as CF writes them, ``"1"`` when dimensionless.
        noise_type: ``"additive"``, or ``"general"`` where the noise depends on the state. Such a process writes
            ``noise_for`` and ``noises``, and its ``noise`` refuses.
    """

    group: ClassVar[str] = "physcore.processes"
    variables: tuple[Variable, ...]
    time_units: str = "1"
    noise_type: ClassVar[str] = "additive"

    @abc.abstractmethod
    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift :math:`f(x, t)`.

        Arguments:
            state: States, shape ``(..., component)``.
            time: Times, shape ``(...)`` or broadcastable to it.

        Returns:
            Drift, shape of ``state``, units of the state per time.
        """

    @abc.abstractmethod
    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix :math:`G(t)`.

        Arguments:
            time: Times, shape ``(...)``.

        Returns:
            Shape ``(component, noise)`` when constant, else ``(..., component, noise)``; units of the state
            per square root of time.
        """

    @abc.abstractmethod
    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states from :math:`q_0`.

        Arguments:
            paths: Number of states.
            generator: Source of randomness; nothing else may be used.

        Returns:
            Shape ``(paths, component)``.
        """

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law.

        Arguments:
            state: States, shape ``(..., component)``.

        Returns:
            Shape ``(...)``.

        Raises:
            NotImplementedError: If the process does not give it.
        """
        raise NotImplementedError(
            f"{type(self).__name__} gives no `initial_log_density`; "
            "write it to use references that need the initial law."
        )

    def stationary_score(self, state: Tensor) -> Tensor:
        r"""Return the score :math:`\nabla \log \pi` of the stationary law, the prior of a generative process.

        Arguments:
            state: States, shape ``(..., component)``.

        Returns:
            Shape of ``state``, units 1 / [state].

        Raises:
            NotImplementedError: If the process does not give it.
        """
        raise NotImplementedError(
            f"{type(self).__name__} gives no `stationary_score`; write it to learn what a score adds to it."
        )

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """Expectations that are known exactly, none unless a process gives them."""
        return ()

    @property
    def dimension(self) -> int:
        """Number of components of the state."""
        return len(self.variables)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by name, as plain values: the dataclass fields, empty for a process without any."""
        if not dataclasses.is_dataclass(self):
            return {}
        return {field.name: plain(getattr(self, field.name)) for field in dataclasses.fields(self)}  # type: ignore[unreachable]

    def jacobian(self, state: Tensor, time: Tensor) -> Tensor:
        r"""Return the Jacobian :math:`J_{ij} = \partial f_i / \partial x_j` by autodiff.

        Arguments:
            state: States, shape ``(..., component)``.
            time: Times, shape ``(...)``.

        Returns:
            Shape ``(..., component, component)``, units 1 / time.
        """
        if torch._C._functorch.peek_interpreter_stack() is None:
            return torch.stack(component_gradients(lambda y: self.drift(y, time), state), -2)
        # Inside another transform only transforms differentiate.
        directions = torch.eye(self.dimension, dtype=state.dtype, device=state.device)
        columns = [
            torch.func.jvp(lambda y: self.drift(y, time), (state,), (direction.expand_as(state).contiguous(),))[1]
            for direction in directions
        ]
        # Of a single state, shape (component,), forward mode turns what meets a Python number into double.
        return torch.stack(columns, -1).to(state.dtype)

    def low_rank_jacobian(self, state: Tensor, time: Tensor) -> IdentityPlusLowRank | None:
        """Return the Jacobian of a drift that pulls alike in all but a few directions; None unless a process gives it.

        With noise that is alike in all directions the local transition then never makes a matrix of d by d entries.

        Arguments:
            state: States, shape ``(batch, component)``.
            time: Times, shape ``(batch,)`` or ``(1,)``.
        """
        return None

    @property
    def componentwise(self) -> bool:
        """Whether each component moves by itself, its drift a function of itself and time and its noise its own.

        False unless a process says so, as one of very many components should: its local transition is then that of so
        many processes of one component. What it says is checked before it is relied on.
        """
        return False

    def drift_rate(self, state: Tensor, time: Tensor) -> Tensor:
        r"""Return the explicit time derivative :math:`\partial f / \partial t` by autodiff.

        Arguments:
            state: States, shape ``(..., component)``.
            time: Times, shape ``(...)``.

        Returns:
            Shape of ``state``, units of the drift per time.
        """
        times = time.to(state.dtype).expand(state.shape[:-1]).contiguous()
        # Backwards is faster in a few components, forwards, at the price of two drifts, in many.
        if torch._C._functorch.peek_interpreter_stack() is None and self.dimension <= FEW_COMPONENTS:
            return torch.stack(component_gradients(lambda t: self.drift(state, t), times), -1)
        tangent: Tensor = torch.func.jvp(lambda t: self.drift(state, t), (times,), (torch.ones_like(times),))[1]
        return tangent.to(state.dtype)

    def clock(self, time: Tensor) -> Tensor | None:
        """Return the clock B(t) of a drift and noise separable in time, f = B'(t) b(x), Q = B'(t) q; None for others.

        Arguments:
            time: Times, shape ``(...)``.

        Returns:
            Shape ``(...)``, units of 1, increasing; None unless a process gives it.
        """
        return None

    def noise_for(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the noise matrix at states and times, in the dtype and on the device of the states, its shape checked.

        Arguments:
            state: States, shape ``(..., component)``; of additive noise their dtype and device alone play a part.
            time: Times, shape ``(...)``.

        Returns:
            Shape ``(..., component, noise)`` or ``(component, noise)``.

        Raises:
            ValueError: If the matrix does not have one row per component.
        """
        noise = self.noise(time).to(dtype=state.dtype, device=state.device)
        if noise.ndim < 2 or noise.shape[-2] != self.dimension:
            raise ValueError(
                f"{type(self).__name__}.noise must return shape (..., {self.dimension}, noise); "
                f"got {tuple(noise.shape)}."
            )
        return noise

    def diffuse(self, normals: Tensor, time: Tensor, state: Tensor | None = None) -> Tensor:
        r"""Return :math:`G \xi`, what the noise does to each component.

        Arguments:
            normals: Numbers :math:`\xi`, shape ``(..., noise)``.
            time: Times, shape ``(...)``.
            state: States, shape ``(..., component)``, which noise that depends on them needs.

        Returns:
            Shape ``(..., component)``, units of the noise matrix.

        Raises:
            ValueError: If the noise depends on the state, and none is given.
        """
        strengths = self.noise_strengths
        if strengths is not None:
            return _spread(normals, strengths.to(dtype=normals.dtype, device=normals.device))
        noise = self.noise_for(normals if state is None else state, time)
        # Column by column and not as a matrix product, whose rounding depends on the number of paths.
        total = normals[..., :1] * noise[..., 0]
        for k in range(1, noise.shape[-1]):
            total = torch.addcmul(total, normals[..., k : k + 1], noise[..., k])
        return total

    @property
    def noises(self) -> int:
        """Number of independent noises."""
        strengths = self.noise_strengths
        if strengths is not None:
            return int(strengths.count_nonzero())
        return int(self.noise(torch.zeros((), dtype=torch.float64)).shape[-1])

    @property
    def noise_strengths(self) -> Tensor | None:
        """Strengths of constant noises that act on one component each, shape ``(component,)``, zero where none does.

        None unless a process gives them, as one of many particles should: its noise matrix, with the columns of the
        zeros left out, is then never made while it is simulated.
        """
        return None

    @property
    def driven(self) -> tuple[int, ...]:
        """Indices of the components that noise acts on directly, at time zero."""
        noise = self.noise(torch.zeros((), dtype=torch.float64))
        return tuple(int(i) for i in torch.nonzero(noise.abs().sum(-1) > 0).flatten())


def _spread(normals: Tensor, strengths: Tensor) -> Tensor:
    """Return each noise times its strength at the component it acts on, zero elsewhere, shape ``(..., component)``."""
    driven = strengths != 0
    if driven.all():
        return normals * strengths
    zero = torch.zeros_like(normals[..., :1])
    place = torch.where(driven, driven.cumsum(0) - 1, normals.shape[-1])
    return torch.cat([normals * strengths[driven], zero], -1).index_select(-1, place)
