"""Scores learned in other coordinates: what the map adds, the frame, files, and the physics that comes of them."""

import json
from pathlib import Path

import pytest
import torch

from analysis import entropy_production_rate
from physcore import load_score, save_score
from physcore.registry import build, plain
from physcore.score import LocalDenoising, Mapped, MappedScore, Training, fit
from physcore.score.batches import TrajectoryBatches
from physcore.score.lags import FixedLag
from physcore.transform import (
    Affine,
    Bijection,
    Composition,
    Inverted,
    Polar,
    Selected,
    Tanh,
    TransformedProcess,
    transform_score,
)
from simulations import ActiveBrownianParticle, simulate

PARTICLE = ActiveBrownianParticle(
    speed=2.0, diffusivity=0.5, rotational_diffusivity=1.0, stiffness=1.0, initial_width=1.5, initial_spread=2.0
)
DISSIPATION = 4.0  # v0^2 Dr / (D (k + Dr)), all variables even
POSITION = (0, 1)
POLAR = Selected(bijection=Polar(), components=POSITION)
AWAY = Affine(matrix=((1.0, 0.0, 0.0), (0.0, 1.0, -1.0), (0.0, 0.0, 1.0)))
RELATIVE = Composition(bijections=(POLAR, AWAY))  # distance, its direction from the heading, heading
TURNING = Composition(
    bijections=(POLAR, AWAY, Selected(bijection=Inverted(bijection=Polar()), components=POSITION))
)  # position along the heading and across it, heading
MAPS: dict[str, tuple[Bijection, tuple[int, ...]]] = {"relative": (RELATIVE, (1, 2)), "turning": (TURNING, (2,))}


def untrained(bijection: Bijection, periodic: tuple[int, ...]) -> MappedScore:
    trajectories = simulate(PARTICLE, paths=256, duration=1.0, dt=1e-2, save_every=10, seed=1)
    batches = TrajectoryBatches(PARTICLE, trajectories, Training(), torch.device("cpu"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        score = Mapped(bijection=bijection, periodic=periodic).build(
            PARTICLE, batches.pilot, FixedLag(gap=0.1), (0.1, 1.0)
        )
    return score.requires_grad_(False)


def states() -> torch.Tensor:
    return 1.5 * torch.randn(20, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


@pytest.fixture(params=MAPS)
def score(request: pytest.FixtureRequest) -> MappedScore:
    return untrained(*MAPS[request.param]).double()


def test_it_is_the_score_of_the_image_transformed_back(score: MappedScore) -> None:
    state, time = states(), torch.full((20,), 0.5, dtype=torch.float64)
    prepared = score.prepare(state, time)
    image = score.bijection.forward(state)
    of_image = score.network(prepared.features[..., :-1], prepared.clock) / score.scale
    back = transform_score(Inverted(bijection=score.bijection), image, of_image)
    torch.testing.assert_close(score(state, time), back, rtol=1e-9, atol=1e-9)
    seen = TransformedProcess(process=PARTICLE, bijection=score.bijection)
    torch.testing.assert_close(seen.score(image, time, score), of_image, rtol=1e-9, atol=1e-9)


def test_its_loss_is_that_of_the_mapped_scores(score: MappedScore) -> None:
    state, time = states(), torch.full((20,), 0.5, dtype=torch.float64)
    frame, target = score.prepare(state, time).frame, states().flip(0)
    of_image = transform_score(score.bijection, state, target)
    learned = transform_score(score.bijection, state, score(state, time))
    expected = score.scale * (learned - of_image)
    torch.testing.assert_close(frame.weight(score(state, time) - target), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(frame.unweight(frame.weight(target)), target, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(frame.rows(slice(3, 5)).weight(target[3:5]), frame.weight(target)[3:5])


def test_angles_are_shown_so_that_a_turn_changes_nothing(score: MappedScore) -> None:
    turned = states() + torch.tensor([0.0, 0.0, 2 * torch.pi])
    torch.testing.assert_close(score(turned, 0.5), score(states(), 0.5), rtol=1e-6, atol=1e-6)
    plain_angle = untrained(TURNING, ()).double()
    assert (plain_angle(turned, 0.5) - plain_angle(states(), 0.5)).abs().max() > 1e-2


def test_it_is_kept_in_a_file_with_its_map(score: MappedScore, tmp_path: Path) -> None:
    score = score.float()
    save_score(score, tmp_path / "score.pt")
    loaded = load_score(tmp_path / "score.pt")
    assert isinstance(loaded, MappedScore)
    assert loaded.bijection == score.bijection
    assert torch.equal(loaded(states().float(), 0.5), score(states().float(), 0.5))


def test_a_configuration_names_the_map() -> None:
    spec = json.loads(json.dumps(plain(TURNING)))
    assert build("physcore.models", "mapped", {"bijection": spec, "periodic": [2]}) == Mapped(
        bijection=TURNING, periodic=(2,)
    )
    assert spec == json.loads(json.dumps(TURNING.parameters))
    with pytest.raises(ValueError, match="unknown name 'spherical'"):
        build("physcore.models", "mapped", {"bijection": "spherical"})
    with pytest.raises(ValueError, match="`bijections` must be a list of mappings"):
        build("physcore.bijections", "composition", {"bijections": "polar"})


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"bijection": Polar()}, "`bijection` has 2 components, the process has 3"),
        ({"periodic": (3,)}, "`periodic` must be different indices below 3"),
        ({"periodic": (1, 1)}, "`periodic`"),
        ({"bijection": Inverted(bijection=Tanh(scale=0.1))}, "Tanh.inverse"),
    ],
)
def test_d7_a_map_that_does_not_fit_is_refused(settings: dict[str, object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        untrained(**{"bijection": Composition(), "periodic": (), **settings})  # type: ignore[arg-type]


def test_the_dissipation_of_an_active_particle_comes_from_a_score_learned_in_its_turning_frame() -> None:
    trajectories = simulate(PARTICLE, paths=20_000, duration=6.0, dt=1e-2, save_every=20, seed=1)
    score = fit(
        PARTICLE,
        trajectories,
        objective=LocalDenoising(lag=0.2),
        model=Mapped(bijection=TURNING, periodic=(2,)),
        training=Training(steps=500, batch=1024, first_time=4.0),
        seed=3,
    )
    fresh = simulate(PARTICLE, paths=50_000, duration=6.0, dt=1e-2, save_times=[5.0, 6.0], seed=2)
    rates = entropy_production_rate(PARTICLE, score, fresh)
    assert rates.attrs["parity"] == "all variables even under time reversal"
    total = rates["value"].sel(quantity="total")
    assert float(total.mean()) == pytest.approx(DISSIPATION, rel=0.02)  # of which 0.4 % is the scatter of the paths
