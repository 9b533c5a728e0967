"""Whether a process keeps its contract, tried on a few initial states before a run.

A drift of another shape would be broadcast, one that changes its argument would change the paths, one that draws random
numbers or looks at other paths would make the bits of a path depend on how the work is divided: all of that would
run and be wrong. What is found is told by the name of the method.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from physcore.errors import NumericalError
from physcore.process import Process
from physcore.streams import Streams
from physcore.variable import Variable

__all__ = ["check_contract"]

STATES = 5  # whose drift is tried, a number that few processes have of components, so that shapes are told apart
REMEMBERED = 8
ROUNDING = 1e-3  # of the largest drift, between the drift of a state alone and among others, in single precision
RESERVED = ("path", "time", "particle", "component")  # names of dimensions


def check_contract(process: Any, dtype: str, start: float, group_size: Callable[[int], int]) -> None:
    """Refuse what is no process, or one whose methods do not return what they should.

    Arguments:
        process: The process.
        dtype: Precision in which it is simulated, float32 or float64.
        start: Time of the initial states.
        group_size: From the number of components to that of the initial states that are drawn together.

    Raises:
        TypeError: If it is no process, or a method returns what is no tensor of floating point numbers.
        ValueError: If variables, shapes or values are not those of the contract; what was expected is told.
        NumericalError: If the noise is not finite. States and drifts that are not are told with their path when they
            come about.
    """
    if not isinstance(process, Process):
        example = f"; give an object, {process.__name__}(...)" if isinstance(process, type) else ""
        raise TypeError(f"`process` must be a Process; got {process!r}{example}.")
    # A process that is its parameters, and whose parameters stay, need not be tried again; short runs would feel it.
    fixed: Any = getattr(process, "__dataclass_params__", None)
    if fixed is not None and fixed.frozen and fixed.eq and _is_hashable(process):
        _check_once(process, dtype, start, group_size)
    else:
        _check(process, dtype, start, group_size)


def _check(process: Process, dtype: str, start: float, group_size: Callable[[int], int]) -> None:
    _check_variables(process)
    precision = torch.float32 if dtype == "float32" else torch.float64
    states = _initial_states(process, group_size(process.dimension))[:STATES].to(precision)
    _check_drift(process, states, torch.tensor(start, dtype=precision))
    if process.noise_type == "additive" and process.noise_strengths is None:
        _check_noise(process, start)


_check_once = functools.lru_cache(maxsize=REMEMBERED)(_check)


def _is_hashable(process: Process) -> bool:
    try:
        hash(process)
    except TypeError:
        return False
    return True


def _check_variables(process: Process) -> None:
    name, variables = type(process).__name__, getattr(process, "variables", None)
    if not isinstance(variables, tuple) or not variables or not all(isinstance(one, Variable) for one in variables):
        raise TypeError(f'{name}.variables must be a tuple of Variable, (Variable("x"), ...); got {variables!r}.')
    known = [variable.name for variable in variables]
    for word in known:
        if word in RESERVED:
            raise ValueError(f"{name}.variables must not be named {', '.join(RESERVED)}; got {word!r}.")
        if known.count(word) > 1:
            raise ValueError(f"{name}.variables must have different names; got {word!r} twice.")


def _initial_states(process: Process, paths: int) -> Tensor:
    method = f"{type(process).__name__}.sample_initial"
    first, again = (
        _tensor(method, process.sample_initial(paths, Streams(0, "contract").generator())) for _ in range(2)
    )
    if first.shape != (paths, process.dimension):
        raise ValueError(
            f"{method} must return shape (paths, {process.dimension}); got {tuple(first.shape)} for {paths} paths."
        )
    if not torch.allclose(first, again, rtol=0.0, atol=0.0, equal_nan=True):
        raise ValueError(
            f"{method} must take all its random numbers from `generator`: the same one gave other states. "
            "Give it on, as in torch.randn(..., generator=generator)."
        )
    return first


def _check_drift(process: Process, state: Tensor, time: Tensor) -> None:
    method, given = f"{type(process).__name__}.drift", state.clone()
    drift = _tensor(method, process.drift(given, time), floating=True).clone()
    if not torch.equal(given.nan_to_num(), state.nan_to_num()):
        raise ValueError(f"{method} must not change `state`; work on a copy, state.clone().")
    if drift.shape != state.shape:
        raise ValueError(
            f"{method} must return the shape of `state`, component last; got {tuple(drift.shape)} for "
            f"{tuple(state.shape)}."
        )
    if not torch.equal(drift.nan_to_num(), process.drift(state.clone(), time).nan_to_num()):
        raise ValueError(f"{method} must be a function of state and time alone; called twice it gave other values.")
    alone = process.drift(state[:1].clone(), time)
    bound = ROUNDING * float(drift.nan_to_num().abs().max())
    if not torch.allclose(alone, drift[:1], rtol=0.0, atol=bound, equal_nan=True):
        raise ValueError(
            f"{method} must be that of each path by itself; with another path beside it, it gave other values."
        )


def _check_noise(process: Process, start: float) -> None:
    method = f"{type(process).__name__}.noise"
    noise = _tensor(method, process.noise(torch.tensor(start, dtype=torch.float64)))
    if noise.ndim < 2 or noise.shape[-2] != process.dimension or noise.shape[-1] == 0:
        raise ValueError(
            f"{method} must return shape (..., {process.dimension}, noise), a row for each component and a column for "
            f"each noise; got {tuple(noise.shape)}."
        )
    if not torch.isfinite(noise).all():
        raise NumericalError(f"{method} is not finite at time {start:g}: {noise.tolist()}.")


def _tensor(method: str, value: Any, *, floating: bool = False) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"{method} must return a torch tensor; got {type(value).__name__}.")
    if value.is_complex() or (floating and not value.is_floating_point()):
        raise TypeError(f"{method} must return real floating point numbers; got {value.dtype}.")
    return value
