"""A process seen through a map obeys the Fokker-Planck equation of its law, and its reversal is Anderson's."""

import dataclasses
import logging
from collections.abc import Callable
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from analysis import FokkerPlanck
from physcore import Process, Variable
from physcore.diffusivity import Diffusivity
from physcore.reverse import ProbabilityFlow, ReversedProcess
from physcore.score import LocalDenoising, Training, fit
from physcore.transform import (
    AdditiveLogistic,
    Affine,
    Arcsinh,
    Bijection,
    Composition,
    Inverted,
    Polar,
    Tanh,
    TransformedProcess,
)
from simulations import OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck(
    drift_matrix=((-1.0, 0.3), (-0.2, -0.7)),
    noise_matrix=((0.8, 0.1), (0.3, 0.6)),
    initial_mean=(0.4, -0.2),
    initial_covariance=((0.5, 0.1), (0.1, 0.3)),
)
TIME = torch.tensor(0.7, dtype=torch.float64)
MAPS: dict[str, Bijection] = {
    "identity": Composition(),
    "simplex": AdditiveLogistic(),
    "tanh": Tanh(scale=1.5),
    "polar": Polar(),
    "chain": Composition(bijections=(Arcsinh(scale=0.5), Affine(matrix=[[1.0, 0.2], [0.3, -2.0]]))),
    "inverted": Inverted(bijection=Arcsinh()),
}
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def states(bijection: Bijection) -> Tensor:
    points = torch.randn(5, 2, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    return bijection.forward(points).detach()


def density(bijection: Bijection) -> Callable[[Tensor, Tensor], Tensor]:
    def of(state: Tensor, time: Tensor) -> Tensor:
        origin = bijection.inverse(state)
        return torch.exp(TRAP.log_density(origin, time) - bijection.log_determinant(origin))

    return of


def diffusion(process: Process, state: Tensor, time: Tensor) -> Tensor:
    noise = process.noise_for(state, time)
    return noise @ noise.mT


def divergence_of_diffusion(process: Process, state: Tensor) -> Tensor:
    """Return sum_j d_j A_ij at each state, from the whole derivative."""
    slopes = [torch.func.jacrev(lambda y: diffusion(process, y, TIME))(point) for point in state]
    return torch.stack([torch.einsum("ijj->i", slope) for slope in slopes])


@pytest.fixture(params=MAPS)
def bijection(request: pytest.FixtureRequest) -> Bijection:
    return MAPS[request.param]


def fokker_planck_residual(process: TransformedProcess, state: Tensor) -> Tensor:
    """Return what the law fails the Fokker-Planck equation by at one state, relative to its density."""
    law = density(process.bijection)
    rate = torch.func.jacrev(lambda t: law(state, t))(TIME)
    drift = torch.func.jacrev(lambda y: process.drift(y, TIME) * law(y, TIME))(state)
    spread = torch.func.hessian(lambda y: diffusion(process, y, TIME) * law(y, TIME))(state)
    residual: Tensor = rate + drift.diagonal().sum() - 0.5 * torch.einsum("ijij->", spread)
    return residual / law(state, TIME)


def test_its_law_obeys_its_fokker_planck_equation(bijection: Bijection) -> None:
    process = TransformedProcess(process=TRAP, bijection=bijection)
    residuals = torch.stack([fokker_planck_residual(process, state) for state in states(bijection)])
    assert residuals.abs().max() < 1e-10


def test_without_the_term_of_ito_it_does_not() -> None:
    class Wrong(TransformedProcess):
        def drift(self, state: Tensor, time: Tensor) -> Tensor:
            origin = self.origin(state)
            return self.bijection.push(origin, self.process.drift(origin, time))

    process = Wrong(process=TRAP, bijection=AdditiveLogistic())
    assert fokker_planck_residual(process, states(process.bijection)[0]).abs() > 1e-2


def test_its_score_is_the_gradient_of_its_log_density(bijection: Bijection) -> None:
    process, state = TransformedProcess(process=TRAP, bijection=bijection), states(bijection)
    expected = torch.func.grad(lambda y: density(bijection)(y, TIME).log().sum())(state)
    score = process.score(state, TIME, TRAP.score)
    assert ((score - expected).abs() / (1 + expected.abs())).max() < 1e-10


def test_the_reversed_drift_is_that_of_anderson_in_the_new_space(bijection: Bijection) -> None:
    process, state = TransformedProcess(process=TRAP, bijection=bijection), states(bijection)
    driving = (diffusion(process, state, TIME) @ process.score(state, TIME, TRAP.score).unsqueeze(-1)).squeeze(-1)
    divergence = divergence_of_diffusion(process, state)
    expected = -process.drift(state, TIME) + divergence + driving
    reverse = process.reverse_drift(state, TIME, TRAP.score)
    torch.testing.assert_close(reverse, expected, **EXACT)
    flow = process.probability_flow(state, TIME, TRAP.score)
    torch.testing.assert_close(flow, process.drift(state, TIME) - 0.5 * (divergence + driving), **EXACT)


def test_one_map_after_another_is_their_composition(bijection: Bijection) -> None:
    outer = Tanh(scale=9.0)
    first = TransformedProcess(process=TRAP, bijection=bijection)
    twice = TransformedProcess(process=first, bijection=outer)
    at_once = TransformedProcess(process=TRAP, bijection=Composition(bijections=(bijection, outer)))
    state = outer.forward(states(bijection))

    def between(y: Tensor, time: Tensor) -> Tensor:
        return first.score(y, time, TRAP.score)

    torch.testing.assert_close(twice.drift(state, TIME), at_once.drift(state, TIME), **EXACT)
    torch.testing.assert_close(twice.noise_for(state, TIME), at_once.noise_for(state, TIME), **EXACT)
    for name in ("reverse_drift", "probability_flow"):
        result = getattr(twice, name)(state, TIME, between)
        torch.testing.assert_close(result, getattr(at_once, name)(state, TIME, TRAP.score), **EXACT)


def test_initial_law_clock_and_moments_are_carried(bijection: Bijection) -> None:
    process = TransformedProcess(process=TRAP, bijection=bijection)
    state = process.sample_initial(50, torch.Generator().manual_seed(1))
    origin = TRAP.sample_initial(50, torch.Generator().manual_seed(1))
    torch.testing.assert_close(process.origin(state), origin, **EXACT)
    expected = density(bijection)(state, torch.zeros((), dtype=torch.float64)).log()
    torch.testing.assert_close(process.initial_log_density(state), expected, rtol=1e-9, atol=1e-9)
    assert process.noises == TRAP.noises
    assert process.clock(TIME) is None
    for ours, theirs in zip(process.known_moments, TRAP.known_moments, strict=True):
        torch.testing.assert_close(ours.observable(state), theirs.observable(origin))


def test_noise_of_normals_is_that_of_the_matrix(bijection: Bijection) -> None:
    process, state = TransformedProcess(process=TRAP, bijection=bijection), states(bijection)
    normals = torch.randn(5, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = (process.noise_for(state, TIME) @ normals.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(process.diffuse(normals, TIME, state), expected, **EXACT)


def test_outside_the_image_it_is_not_a_number() -> None:
    process = TransformedProcess(process=TRAP, bijection=AdditiveLogistic())
    state = torch.tensor([[0.2, 0.3], [1.2, -0.3]], dtype=torch.float64)
    for value in (process.drift(state, TIME), process.reverse_drift(state, TIME, TRAP.score)):
        assert value.isfinite().all(-1).tolist() == [True, False]
    with pytest.raises(ValueError, match="sum below 1"):
        process.score(state, TIME, TRAP.score)


def test_names_parameters_and_repr_are_plain() -> None:
    variables = (Variable("r", units="m"), Variable("angle", units="radian"))
    process = TransformedProcess(process=TRAP, bijection=Polar(), variables=variables)
    names = {kind.__name__: kind for kind in (TransformedProcess, OrnsteinUhlenbeck, Polar, Variable)}
    assert eval(repr(process), names) == process
    assert process.parameters["process"]["name"] == "ornstein-uhlenbeck"
    assert process.parameters["bijection"] == {"name": "polar"}
    assert [variable.name for variable in TransformedProcess(process=TRAP, bijection=Tanh()).variables] == ["y0", "y1"]


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"bijection": Affine(matrix=[[1.0]])}, "`bijection` has 1 components, the process has 2"),
        ({"variables": (Variable("r"),)}, "`variables` must name 2"),
    ],
)
def test_d7_what_does_not_fit_is_refused(changed: dict[str, object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        TransformedProcess(**{"process": TRAP, "bijection": Polar(), **changed})  # type: ignore[arg-type]


def test_simulated_in_the_new_space_it_has_the_law_of_the_old(caplog: pytest.LogCaptureFixture) -> None:
    process = TransformedProcess(process=TRAP, bijection=AdditiveLogistic())
    with caplog.at_level(logging.INFO, "physcore"):
        run = simulate(process, paths=20_000, duration=1.0, dt=2e-3, save_every="final", seed=5, dtype="float64").isel(
            time=-1
        )
    assert "fused" in caplog.text or "compiler" in caplog.text
    ends = torch.stack([torch.from_numpy(run[name].values) for name in ("y0", "y1")], -1)
    origin = process.origin(ends)
    law = TRAP.law(torch.tensor(1.0, dtype=torch.float64))
    error = law.covariance.diagonal().sqrt() / len(origin) ** 0.5
    assert ((origin.mean(0) - law.mean) / error).abs().max() < 5
    assert (origin.T.cov().diagonal() / law.covariance.diagonal() - 1).abs().max() < 5 * (2 / len(origin)) ** 0.5
    wrong = TRAP.law(torch.tensor(1.6, dtype=torch.float64))
    assert ((origin.mean(0) - wrong.mean) / error).abs().max() > 5


def test_what_needs_additive_noise_refuses_it() -> None:
    process = TransformedProcess(process=TRAP, bijection=Tanh())
    settings = {"paths": 8, "duration": 0.1, "dt": 0.01, "seed": 1}
    for scheme in ("heun", "sra1", "weak-taylor", "exact-linear", "local-linearization", "tamed-euler", "baoab"):
        with pytest.raises(ValueError, match=r"additive noise|Langevin"):
            simulate(process, scheme=scheme, **settings)  # type: ignore[arg-type]
    trajectories = simulate(process, **settings)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="noise that depends on the state"):
        fit(process, trajectories, objective=LocalDenoising(lag=0.05), training=Training(steps=1), seed=1)
    with pytest.raises(ValueError, match="noise that depends on the state"):
        FokkerPlanck(process).prepare([0.1])
    with pytest.raises(ValueError, match="noise that depends on the state"):
        process.diffuse(torch.zeros(3, 2), TIME)
    with pytest.raises(ValueError, match="noise that depends on the state"):
        ReversedProcess(process=process, score=TRAP, end=1.0, final=torch.zeros(1, 2))
    with pytest.raises(ValueError, match="noise that depends on the state"):
        ProbabilityFlow(process=process, score=TRAP)
    with pytest.raises(ValueError, match="noise that depends on the state"):
        Diffusivity.of(process, TIME)


def test_a_score_learned_before_the_map_reverses_the_process_after_it() -> None:
    trajectories = simulate(TRAP, paths=256, duration=1.0, dt=1e-2, seed=1)
    score = fit(TRAP, trajectories, objective=LocalDenoising(lag=0.1), training=Training(steps=2), seed=1)
    process = TransformedProcess(process=TRAP, bijection=AdditiveLogistic())
    state = states(process.bijection)
    learned = score(process.origin(state), TIME)
    driving = (diffusion(TRAP, state, TIME) @ learned.unsqueeze(-1)).squeeze(-1)
    change = process.reverse_drift(state, TIME, score) + process.drift(state, TIME)
    bending = process.bijection.hessian_contraction(process.origin(state), TRAP.noise_for(state, TIME))
    torch.testing.assert_close(change - bending, process.bijection.push(process.origin(state), driving))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Growth(Process):
    """Geometric Brownian motion, a process of one's own whose noise depends on the state."""

    rate: float = 0.3
    volatility: float = 0.4
    variables = (Variable("x"),)
    noise_type: ClassVar[str] = "general"

    @property
    def noises(self) -> int:
        return 1

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return self.rate * state

    def noise(self, time: Tensor) -> Tensor:
        raise ValueError("depends on the state")

    def noise_for(self, state: Tensor, time: Tensor) -> Tensor:
        return self.volatility * state.unsqueeze(-1)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return torch.ones(paths, 1)


def test_a_process_of_ones_own_may_declare_noise_that_depends_on_the_state() -> None:
    growth = Growth()
    run = simulate(growth, paths=20_000, duration=1.0, dt=5e-3, save_every="final", seed=3)
    logarithm = torch.from_numpy(run["x"].values[:, -1]).double().log()
    error = growth.volatility / len(logarithm) ** 0.5
    exact = growth.rate - 0.5 * growth.volatility**2
    assert abs(logarithm.mean() - exact) < 5 * error
    assert abs(logarithm.mean() - growth.rate) > 5 * error  # what leaves out the term of Ito
