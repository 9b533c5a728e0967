"""A process that does not keep its contract is refused before a run, by the name of the method."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

from physcore import Process, Variable
from physcore.configuration import default_run
from physcore.contract import check_contract
from physcore.errors import NumericalError
from physcore.registry import build, names
from simulations import FreshSimulation, Simulation, measure, simulate
from simulations.block import group_size

Change = dict[str, Any]


class Duffing(Process):
    variables = (Variable("x", units="m"), Variable("v", units="m s-1"))

    def drift(self, state, time):
        x, v = state.unbind(-1)
        return torch.stack([v, x - x**3 - 0.1 * v], -1)

    def noise(self, time):
        return torch.tensor([[0.0], [0.3]])

    def sample_initial(self, paths, generator):
        return torch.randn(paths, 2, generator=generator)


def of_drift(function: Callable[[torch.Tensor], Any]) -> Change:
    return {"drift": lambda self, state, time: function(state)}


def of_start(function: Callable[[int], Any]) -> Change:
    return {"sample_initial": lambda self, paths, generator: function(paths)}


def of_noise(value: Any) -> Change:
    return {"noise": lambda self, time: value}


CASES = {
    "no variables": ({"variables": ()}, TypeError, "variables must be a tuple of Variable"),
    "names for variables": ({"variables": ("x", "v")}, TypeError, "variables must be a tuple of Variable"),
    "a name twice": ({"variables": (Variable("x"), Variable("x"))}, ValueError, "different names; got 'x' twice"),
    "the name of a dimension": ({"variables": (Variable("x"), Variable("time"))}, ValueError, "got 'time'"),
    "drift broadcast": (of_drift(lambda x: x[..., :1]), ValueError, r"drift must return the shape.*\(5, 1\)"),
    "drift component first": (of_drift(lambda x: x.movedim(-1, 0)), ValueError, r"drift must return the shape"),
    "drift of numpy": (of_drift(lambda x: x.numpy()), TypeError, "drift must return a torch tensor; got ndarray"),
    "drift of nothing": (of_drift(lambda x: None), TypeError, "drift must return a torch tensor; got NoneType"),
    "drift of integers": (of_drift(lambda x: x.int()), TypeError, "drift must return real floating point"),
    "drift of complex numbers": (of_drift(lambda x: 1j * x), TypeError, "drift must return real floating point"),
    "drift in place": (of_drift(lambda x: x.mul_(-1)), ValueError, "drift must not change `state`"),
    "drift with noise in it": (of_drift(torch.randn_like), ValueError, "drift must be a function of state and time"),
    "drift of all paths": (of_drift(lambda x: x.mean(0) - x), ValueError, "that of each path by itself"),
    "noise without columns": (of_noise(torch.tensor([0.0, 0.3])), ValueError, r"noise must return shape.*got \(2,\)"),
    "noise of other rows": (of_noise(torch.eye(3)), ValueError, r"noise must return shape.*got \(3, 3\)"),
    "noise of a number": (of_noise(0.3), TypeError, "noise must return a torch tensor; got float"),
    "noise that is no number": (of_noise(torch.full((2, 1), torch.nan)), NumericalError, "noise is not finite"),
    "start of other shape": (of_start(lambda n: torch.zeros(n, 3)), ValueError, r"sample_initial must return shape"),
    "start that is no number": (
        of_start(lambda n: torch.full((n, 2), torch.nan)),
        NumericalError,
        "sample_initial gave a state that is not finite to path 0",
    ),
    "start of other numbers": (of_start(lambda n: torch.randn(n, 2)), ValueError, "from `generator`"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_broken_process_is_refused_by_the_name_of_what_is_wrong(case: tuple[Change, type[Exception], str]) -> None:
    change, error, message = case
    with torch.random.fork_rng(), pytest.raises(error, match=message):
        simulate(type("Broken", (Duffing,), change)(), paths=8, duration=0.1, dt=0.05, save_every=1, seed=1)


def test_what_is_no_process_is_refused() -> None:
    with pytest.raises(TypeError, match=r"give an object, Duffing\(\.\.\.\)"):
        simulate(Duffing, paths=8, duration=0.1, dt=0.05, save_every=1)
    with pytest.raises(TypeError, match="`process` must be a Process; got 'duffing'"):
        check_contract("duffing", "float32", 0.0, group_size)


def test_whatever_simulates_asks_for_the_contract() -> None:
    broken = type("Broken", (Duffing,), of_drift(lambda x: x[..., :1]))()
    with pytest.raises(ValueError, match="drift must return the shape"):
        measure(broken, {"x": lambda state: state[:, 0]}, Simulation(paths=8, duration=0.1, dt=0.05, save_every=1))
    with pytest.raises(ValueError, match="drift must return the shape"):
        FreshSimulation(paths=1024, duration=0.1, dt=0.05, save_every=1).check(broken)


@pytest.mark.parametrize("name", names("physcore.processes"))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_catalogue_keeps_its_contract_and_draws_no_number_of_the_callers(name: str, dtype: str) -> None:
    process = build("physcore.processes", name, default_run(name).get("parameters", {}))
    before = torch.random.get_rng_state()
    check_contract(process, dtype, 0.0, group_size)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_process_that_is_its_parameters_is_tried_once() -> None:
    tried = []

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Counted(Duffing):
        strength: float = 1.0

        def noise(self, time):
            tried.append(self.strength)
            return super().noise(time)

    for strength in (1.0, 2.0, 1.0):
        check_contract(Counted(strength=strength), "float32", 0.0, group_size)
    assert tried == [1.0, 2.0]
