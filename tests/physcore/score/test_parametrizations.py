"""Parametrisations against closed forms: what each is before it has learned, and what all of them come to."""

import dataclasses
from typing import Any

import pytest
import torch
import xarray as xr
from torch import Tensor

from physcore import Process
from physcore.registry import build, names
from physcore.score import (
    MLP,
    Attention,
    Direct,
    FixedLag,
    GaussianResidual,
    Local,
    LocalDenoising,
    NoisePrediction,
    Parametrization,
    Pilot,
    Potential,
    PriorResidual,
    ScoreModel,
    Training,
    fit,
)
from physcore.score.components import Components
from physcore.score.parametrizations.marginals import Interpolation, moments_at_knots
from physcore.solvable import SolvableProcess
from simulations import ActiveSwimmer, DoubleWell, LogisticPrior, MixturePrior, MovingTrap, OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck.rotating_trap(stiffness=2.0)
# A particle with inertia on a spring, its velocity last and first.
SPRING = OrnsteinUhlenbeck(
    drift_matrix=((0.0, 1.0), (-1.5, -1.0)),
    noise_matrix=((0.0,), (1.2,)),
    initial_mean=(0.5, 0.0),
    initial_covariance=((0.2, 0.05), (0.05, 0.4)),
)
VELOCITY_FIRST = OrnsteinUhlenbeck(
    drift_matrix=((-1.0, -1.5), (1.0, 0.0)),
    noise_matrix=((1.2,), (0.0,)),
    initial_mean=(0.0, 0.5),
    initial_covariance=((0.4, 0.05), (0.05, 0.2)),
)
RANGE = (0.2, 1.0)
PATHS = 20_000
SMALL = MLP(width=16, depth=1)


def pilot(process: Process, paths: int = PATHS) -> Pilot:
    """States of the exact law where it is known, else of the initial one, at 21 times from 0 to 1."""
    times, generator = torch.linspace(0, 1, 21, dtype=torch.float64), torch.Generator().manual_seed(1)
    if isinstance(process, SolvableProcess):
        states = [process.law(time).sample(paths, generator) for time in times]
    else:
        states = [process.sample_initial(paths, generator)] * len(times)
    return Pilot(process=process, times=times, states=torch.stack(states).float())


def built(model: Parametrization, process: Process, *, silent: bool = False, paths: int = PATHS) -> ScoreModel:
    """A score in double precision, of a network that returns zero if it is to be silent."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        score = model.build(process, pilot(process, paths), FixedLag(gap=0.2), RANGE).double()
    for parameter in score.parameters() if silent else ():
        parameter.data.zero_()
    return score


@torch.no_grad()
def relative_error(score: ScoreModel, process: SolvableProcess, time: float, components: list[int]) -> float:
    """Relative Fisher divergence of some components on fresh states of the exact law."""
    moment = torch.tensor(time, dtype=torch.float64)
    states = process.law(moment).sample(4000, torch.Generator().manual_seed(99))
    exact = process.score(states, moment)[:, components]
    return float((score(states, time)[:, components] - exact).square().sum() / exact.square().sum())


@pytest.mark.parametrize("components", ["all", "driven"])
@pytest.mark.parametrize("process", [TRAP, SPRING, VELOCITY_FIRST], ids=["trap", "spring", "velocity first"])
def test_a_gaussian_residual_without_network_is_the_score_of_a_gaussian_law(
    process: OrnsteinUhlenbeck, components: Any
) -> None:
    score = built(GaussianResidual(network=SMALL, components=components), process, silent=True)
    for time in (0.2, 0.5, 0.625, 1.0):  # at knots and between them
        # Mean and covariance from N states give 4 / N in expectation in two whitened components.
        assert relative_error(score, process, time, list(score.components)) < 5 * 4 / PATHS
    # A sibling: another start has another law.
    assert relative_error(score, dataclasses.replace(process, initial_mean=(1.0, 1.0)), 0.2, [0, 1]) > 1e-2


@pytest.mark.parametrize("process", [MixturePrior(), LogisticPrior(), SPRING], ids=["mixture", "logistic", "spring"])
def test_a_prior_residual_without_network_is_the_score_of_the_prior_at_the_end_and_nothing_at_the_start(
    process: Process,
) -> None:
    score, state = built(PriorResidual(network=SMALL), process, silent=True), pilot(process, 50).states[0].double()
    torch.testing.assert_close(score(state, 1.0), process.stationary_score(state), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(score(state, 0.25), 0.25 * process.stationary_score(state), rtol=1e-6, atol=1e-6)
    assert (score(state, 0.0) == 0).all()


def test_a_stationary_score_of_a_linear_process_is_the_slope_of_its_law() -> None:
    state = torch.randn(20, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    slope = torch.autograd.grad(SPRING.stationary_law().log_density(state).sum(), state)[0]
    torch.testing.assert_close(SPRING.stationary_score(state), slope)


def curl(score: ScoreModel, state: Tensor, time: float) -> float:
    """The largest antisymmetric part of the score's Jacobian, over its largest entry."""
    jacobian = torch.stack([torch.autograd.functional.jacobian(lambda y: score(y, time), each) for each in state])
    return float((jacobian - jacobian.mT).abs().max() / jacobian.abs().max())


@pytest.mark.parametrize(
    "model",
    [Direct, NoisePrediction, GaussianResidual, PriorResidual, lambda **k: Direct(whitening="full", **k)],
    ids=["direct", "noise-prediction", "gaussian-residual", "prior-residual", "direct, full"],
)
def test_a_score_that_is_a_gradient_has_no_curl(model: Any) -> None:
    state = pilot(SPRING, 8).states[10].double()
    assert curl(built(model(network=Potential(network=SMALL)), SPRING), state, 0.5) < 1e-6
    assert curl(built(model(network=SMALL), SPRING), state, 0.5) > 1e-4


def test_the_local_score_is_shown_the_inverse_hyperbolic_sine_of_the_drift() -> None:
    with torch.random.fork_rng(devices=[]):
        score = Local(network=SMALL).build(TRAP, pilot(TRAP, 1000), FixedLag(gap=0.2), RANGE)
    sizes = torch.logspace(-30, 30, 61).repeat_interleave(2) * torch.tensor([1.0, -1.0]).repeat(61)
    states, time = torch.cat([sizes, torch.zeros(1)]).unsqueeze(-1).expand(-1, 2).contiguous(), torch.full((123,), 0.5)
    shown = score.prepare(states, time).features[..., 1]
    exact = torch.asinh(TRAP.drift(states.double(), time) / score.drift_scale.double())
    torch.testing.assert_close(shown.double(), exact, rtol=1e-6, atol=0)
    differentiated = score.prepare(states.requires_grad_(), time).features[..., 1]
    torch.testing.assert_close(differentiated.detach(), shown, rtol=1e-6, atol=0)


def test_the_local_frame_builds_up_over_the_window_which_it_nears_smoothly() -> None:
    well, window = DoubleWell(), 0.3
    with torch.random.fork_rng(devices=[]):
        score = Local(window=window, network=SMALL).build(well, pilot(well, 1000), FixedLag(gap=0.2), (0.1, 1.0))
    time = torch.linspace(0.1, 1.0, 91)
    state = torch.full((91, 1), 0.4)
    rate = float(well.jacobian(state[:1].double(), torch.tensor(0.0)))
    built_up = window * torch.tanh(time.double() / window)
    variance = float(well.noise(time[:1])[..., 0, 0]) ** 2 * torch.expm1(2 * rate * built_up) / (2 * rate)
    frame = score.prepare(state, time).frame.weight(torch.ones(91, 1)).squeeze().double()
    torch.testing.assert_close(frame, variance.sqrt(), rtol=1e-5, atol=0)


def test_directly_whitened_states_have_the_unit_covariance_and_keep_their_places() -> None:
    states = pilot(SPRING).states.flatten(0, 1).double()
    for components in ("all", "driven"):
        score = built(Direct(network=SMALL, whitening="full", components=components), SPRING)  # type: ignore[arg-type]
        white = score.prepare(states, torch.full((len(states),), 0.5, dtype=torch.float64)).features[..., 0]
        torch.testing.assert_close(white.T.cov(), torch.eye(2, dtype=torch.float64), rtol=1e-4, atol=1e-4)
        # A whitened component goes with its own one.
        assert (torch.cat([white, states], -1).T.corrcoef()[:2, 2:].diagonal() > 0.5).all()


@pytest.fixture(scope="module")
def springs() -> dict[str, xr.Dataset]:
    settings: dict[str, Any] = {"paths": 4096, "duration": 1.5, "dt": 0.01, "save_every": 5, "seed": 1}
    return {"last": simulate(SPRING, **settings), "first": simulate(VELOCITY_FIRST, **settings)}


def learned(process: Process, data: xr.Dataset, model: Parametrization) -> ScoreModel:
    training = Training(steps=600, batch=512, validate_every=600)
    return fit(process, data, objective=LocalDenoising(lag=0.5), model=model, training=training, seed=1)


def test_the_driven_score_learned_alone_is_the_exact_one_and_that_learned_in_full(
    springs: dict[str, xr.Dataset],
) -> None:
    network = MLP(width=32, depth=2)
    full = learned(SPRING, springs["last"], Local(network=network))
    last = learned(SPRING, springs["last"], Local(network=network, components="driven"))
    first = learned(VELOCITY_FIRST, springs["first"], Local(network=network, components="driven"))
    assert (full.components, last.components, first.components) == ((0, 1), (1,), (0,))
    for time in (0.5, 1.0, 1.5):
        # The bound of a fit of 600 small batches in test_fit.
        assert relative_error(last, SPRING, time, [1]) < 0.01
        assert relative_error(first, VELOCITY_FIRST, time, [0]) < 0.01
        states = SPRING.law(torch.tensor(time)).sample(4000, torch.Generator().manual_seed(99))
        together, alone = full(states, time)[:, 1], last(states, time)[:, 1]
        assert float((together - alone).square().sum() / together.square().sum()) < 0.01
        assert (last(states, time)[:, 0] == 0).all()
    # A sibling: with the components exchanged it is another score.
    assert relative_error(last, VELOCITY_FIRST, 1.0, [1]) > 0.1


@pytest.mark.parametrize("name", names("physcore.models"))
def test_every_parametrisation_learns_the_same_score(name: str, springs: dict[str, xr.Dataset]) -> None:
    model = build("physcore.models", name, {"network": {"name": "mlp", "width": 32, "depth": 2}})
    score = learned(SPRING, springs["last"], model)
    # 0.2 to 0.4 % were seen in full, 0.02 to 0.1 % of the driven component.
    assert relative_error(score, SPRING, 1.0, [0, 1]) < 0.01
    assert relative_error(score, SPRING, 1.0, [1]) < 0.005


def test_particles_are_handed_to_the_network() -> None:
    model = Direct(network=Attention(width=8, layers=1, heads=2))
    assert built(model, MovingTrap(particles=3), paths=100).layout(1).particles == 3
    with pytest.raises(ValueError, match="particles"):
        built(model, SPRING, paths=100)


def test_moments_come_from_the_frames_about_the_range() -> None:
    knots, found = moments_at_knots(pilot(SPRING), (0.22, 0.48))
    torch.testing.assert_close(knots, torch.tensor([0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5], dtype=torch.float64))
    exact = SPRING.law(knots)
    torch.testing.assert_close(found.mean, exact.mean, rtol=0, atol=5 * PATHS**-0.5)
    torch.testing.assert_close(found.covariance, exact.covariance, rtol=0, atol=5 * (2 / PATHS) ** 0.5)


def test_states_that_do_not_move_have_moments_to_divide_by() -> None:
    still = Pilot(process=SPRING, times=torch.linspace(0, 1, 3).double(), states=torch.ones(3, 100, 2))
    _, found = moments_at_knots(still, (0.0, 1.0))
    assert (found.deviation == 1).all()
    growing = pilot(SPRING, 100).states[:3] * torch.linspace(0, 1, 3)[:, None, None]
    _, found = moments_at_knots(dataclasses.replace(still, states=growing), (0.0, 1.0))
    assert (torch.linalg.eigvalsh(found.covariance) > 0).all()


def test_interpolation_is_linear_between_knots_and_constant_outside() -> None:
    table = Interpolation(torch.tensor([0.0, 1.0, 3.0]), torch.tensor([[0.0], [2.0], [4.0]]))
    times = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 9.0])
    torch.testing.assert_close(table(times)[:, 0], torch.tensor([0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 4.0]))
    assert torch.equal(Interpolation(torch.tensor([1.0]), torch.ones(1, 2))(times), torch.ones(7, 2))
    with pytest.raises(ValueError, match="`knots` must rise"):
        Interpolation(torch.tensor([0.0, 0.0]), torch.ones(2, 2))


class Silent(OrnsteinUhlenbeck):
    """A process without noise."""

    def noise(self, time: Tensor) -> Tensor:
        return torch.zeros(2, 1)


def test_what_does_not_suit_is_refused_with_its_reason() -> None:
    with pytest.raises(ValueError, match=r"`components` must be one of all, driven; got 'some'"):
        Local(components="some")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`whitening` must be one of diagonal, full"):
        Direct(whitening="some")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no noise drives Silent"):
        built(Direct(components="driven"), Silent())
    with pytest.raises(ValueError, match="ActiveSwimmer gives no `stationary_score`"):
        built(PriorResidual(), ActiveSwimmer())
    with pytest.raises(ValueError, match="more pilot states of a time than the 2"):
        built(GaussianResidual(), SPRING, paths=2)


@pytest.mark.parametrize("indices", [(0, 1, 2, 3), (2, 3), (0, 2), (0, 1, 3), (1,)], ids=str)
def test_components_are_taken_placed_and_ordered(indices: tuple[int, ...]) -> None:
    components, values = Components(4, indices), torch.arange(20.0).reshape(5, 4)
    taken = components.take(values)
    assert torch.equal(taken, values[:, list(indices)])
    assert torch.equal(components.take(components.place(taken)), taken)
    assert components.place(taken).sum() == taken.sum()
    ordered = components.ordered(values.T)
    assert torch.equal(ordered[-len(indices) :].T, taken)
    assert torch.equal(components.restored(ordered), values.T)
