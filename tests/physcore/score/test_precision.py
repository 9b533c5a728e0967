"""Networks trained in bfloat16 or compiled come to the same score."""

import functools

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

from physcore.score import (
    MLP,
    Architecture,
    Direct,
    ImplicitScoreMatching,
    Local,
    LocalDenoising,
    Parametrization,
    Potential,
    ScoreModel,
    Training,
    fit,
)
from simulations import OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck.rotating_trap()
OBJECTIVE = LocalDenoising(lag=0.5)


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return simulate(TRAP, paths=4096, duration=1.5, dt=0.01, save_every=5, seed=1)


def relative_error(score: ScoreModel, time: float) -> float:
    moment = torch.tensor(time, dtype=torch.float64)
    states = TRAP.law(moment).sample(4000, torch.Generator().manual_seed(99))
    exact = TRAP.score(states, moment)
    return float((score(states, time) - exact).square().sum() / exact.square().sum())


@pytest.mark.parametrize("kind", [Local, Direct])
def test_a_fit_in_bfloat16_reaches_the_exact_score(data: xr.Dataset, kind: type[Parametrization]) -> None:
    training = Training(steps=400, batch=512, validate_every=200, precision="bfloat16")
    score = fit(TRAP, data, objective=OBJECTIVE, model=kind(network=MLP(width=32)), training=training, seed=1)
    assert {value.dtype for value in score.state_dict().values()} == {torch.float32}
    # The eight bits of a product are averaged over batches and steps: 0.04 to 0.07 % were seen, as in float32.
    assert relative_error(score, 1.0) < 0.002


def test_bfloat16_is_in_the_products_of_the_network_and_nowhere_else(
    data: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[tuple[torch.dtype, torch.dtype, bool]] = set()
    linear = nn.functional.linear

    def watched(given: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        result = linear(given, weight, bias)
        seen.add((weight.dtype, result.dtype, torch.is_grad_enabled()))
        return result

    monkeypatch.setattr(nn.functional, "linear", watched)
    settings = {"objective": OBJECTIVE, "model": Local(network=MLP(width=16, depth=1)), "seed": 1}
    reduced = fit(TRAP, data, **settings, training=Training(steps=20, batch=64, precision="bfloat16"))
    # Steps in bfloat16; validation, which needs no gradients, in float32.
    assert seen == {(torch.float32, torch.bfloat16, True), (torch.float32, torch.float32, False)}
    whole = fit(TRAP, data, **settings, training=Training(steps=20, batch=64))
    assert reduced.history is not None
    assert whole.history is not None
    assert not np.array_equal(reduced.history["validation_loss"], whole.history["validation_loss"])
    np.testing.assert_allclose(reduced.history["validation_loss"], whole.history["validation_loss"], rtol=0.02)


@pytest.mark.parametrize(
    "network", [MLP(width=16, depth=1), Potential(network=MLP(width=16, depth=1))], ids=["mlp", "potential"]
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_compiled_network_learns_the_same(
    data: xr.Dataset, monkeypatch: pytest.MonkeyPatch, network: Architecture, precision: str
) -> None:
    compiled: list[nn.Module] = []
    real = nn.Module.compile

    def compile_without_compiler(module: nn.Module, **settings: object) -> None:
        compiled.append(module)
        real(module, **settings, backend="aot_eager", fullgraph=True)

    monkeypatch.setattr(nn.Module, "compile", compile_without_compiler)
    learn = functools.partial(fit, TRAP, data, objective=OBJECTIVE, model=Local(network=network), seed=1)
    settings = {"steps": 20, "batch": 64, "precision": precision}
    whole, fused = (learn(training=Training(**settings, compile=compiling)) for compiling in (False, True))
    assert len(compiled) == 1
    assert list(fused.state_dict()) == list(whole.state_dict())
    for name, value in whole.state_dict().items():
        np.testing.assert_allclose(fused.state_dict()[name], value, rtol=1e-3, atol=1e-3, err_msg=name)


def test_an_objective_that_differentiates_the_network_twice_is_not_compiled(data: xr.Dataset) -> None:
    with pytest.raises(ValueError, match=r"`compile`.*ImplicitScoreMatching"):
        fit(TRAP, data, objective=ImplicitScoreMatching(), training=Training(compile=True), seed=1)
