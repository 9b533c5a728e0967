"""The reversed process: back through the exact laws of an Ornstein-Uhlenbeck process."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from physcore import Process
from physcore.reverse import ReversedProcess, in_forward_time
from physcore.score import MLP, LocalScore
from physcore.trajectory import frames
from simulations import ActiveSwimmer, BreathingParabola, MovingTrap, OrnsteinUhlenbeck, simulate

END = 1.0
TRAP = OrnsteinUhlenbeck(
    drift_matrix=((-1.0, -1.0), (0.5, -0.7)),
    noise_matrix=((0.0,), (0.8,)),
    initial_mean=(1.0, -0.5),
    initial_covariance=((0.5, 0.1), (0.1, 0.2)),
)
PATHS = 20_000


def law_at_end() -> Any:
    return TRAP.law(torch.tensor(END))


class Stretched:
    """The exact score, stretched."""

    def __init__(self, stretch: float) -> None:
        self.stretch = stretch

    def score(self, state: Tensor, time: Tensor) -> Tensor:
        return self.stretch * TRAP.score(state, time)


def deviations(score: Any, scheme: str, dt: float, noise_level: float = 1.0) -> np.ndarray:
    """Return mean and second moments at three times after the reversal, in standard errors from the exact ones."""
    reversal = ReversedProcess(process=TRAP, score=score, end=END, final=law_at_end(), noise_level=noise_level)
    data = simulate(
        reversal, paths=PATHS, duration=END, dt=dt, save_times=[0.4, 0.8, 1.0], scheme=scheme, dtype="float64", seed=1
    )
    forward = in_forward_time(data, END)
    np.testing.assert_allclose(forward["time"], [0.0, 0.2, 0.6], atol=1e-12)
    found = []
    for states, time in zip(frames(TRAP, forward, torch.float64), forward["time"].values, strict=True):
        law = TRAP.law(torch.tensor(time))
        white = torch.linalg.solve_triangular(law.factor, (states - law.mean).T, upper=False)
        found += [*(white.mean(1) * PATHS**0.5), *((white.square().mean(1) - 1) * (PATHS / 2) ** 0.5)]
        found.append((white[0] * white[1]).mean() * PATHS**0.5)
    return np.array([float(value) for value in found])


@pytest.mark.parametrize(("scheme", "dt"), [("euler-maruyama", 2e-3), ("heun", 2e-2)])
@pytest.mark.parametrize("noise_level", [1.0, 0.5], ids=["own noise", "less noise"])
def test_the_exact_laws_are_met_again_on_the_way_back(scheme: str, dt: float, noise_level: float) -> None:
    # Errors of the schemes are below a standard error at these steps.
    assert np.abs(deviations(TRAP, scheme, dt, noise_level)).max() < 5


@pytest.mark.parametrize("score", [Stretched(0.8), Stretched(1.2)], ids=["short", "long"])
def test_a_wrong_score_leads_elsewhere(score: Any) -> None:
    assert np.abs(deviations(score, "heun", 2e-2)).max() > 10


def test_final_states_are_drawn_from_and_the_seed_decides() -> None:
    final = torch.randn(50, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    reversal = ReversedProcess(process=TRAP, score=TRAP, end=END, final=final)
    drawn = reversal.sample_initial(1000, torch.Generator().manual_seed(2))
    assert all((final == state).all(-1).any() for state in drawn)
    assert len(torch.unique(drawn, dim=0)) > 45
    first, second = (simulate(reversal, paths=64, duration=0.1, dt=0.05, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first["x0"], second["x0"])
    assert first.attrs["process"] == "ReversedProcess"
    assert '"end": 1.0' in first.attrs["parameters"]


@pytest.mark.parametrize("process", [BreathingParabola(), MovingTrap(particles=2)], ids=["in time", "particles"])
def test_drift_and_noise_are_those_of_the_earlier_time(process: Any) -> None:
    reversal = ReversedProcess(process=process, score=process, end=2.0, final=process.law(torch.tensor(2.0)))
    state = torch.randn(5, process.dimension, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    time, earlier = torch.tensor(0.5, dtype=torch.float64), torch.tensor(1.5, dtype=torch.float64)
    noise = process.noise(earlier)
    expected = -process.drift(state, earlier) + process.score(state, earlier) @ (noise @ noise.T)
    torch.testing.assert_close(reversal.drift(state, time), expected)
    torch.testing.assert_close(reversal.noise(time), noise)


def learned(process: Process, components: Any) -> LocalScore:
    ones = [1.0] * process.dimension
    given: dict[str, Any] = {"center": ones, "scale": ones, "drift_scale": ones}
    with torch.random.fork_rng(devices=[]):
        return LocalScore(process, (0.2, 0.5), window=0.6, start=0.0, network=MLP(), components=components, **given)


def test_a_learned_score_of_driven_components_serves_and_leaves_no_graph() -> None:
    swimmer = ActiveSwimmer()
    reversal = ReversedProcess(process=swimmer, score=learned(swimmer, "driven"), end=0.5, final=torch.zeros(3, 2))
    assert not reversal.drift(torch.zeros(3, 2), torch.tensor(0.1)).requires_grad
    assert reversal.drift(torch.zeros(3, 2, requires_grad=True), torch.tensor(0.1)).requires_grad
    assert np.isfinite(simulate(reversal, paths=64, duration=0.3, dt=0.1, scheme="heun", seed=1)["x"]).all()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"end": float("nan")}, "`end`"),
        ({"noise_level": 0.0}, "`noise_level`"),
        ({"final": torch.zeros(0, 2)}, "`final`"),
        ({"final": torch.zeros(4, 3)}, "`final`"),
        ({"final": torch.full((4, 2), torch.nan)}, "`final`"),
    ],
    ids=["end", "noise", "no states", "other states", "nan"],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ReversedProcess(**{"process": TRAP, "score": TRAP, "end": END, "final": torch.zeros(4, 2), **settings})


def test_scores_that_do_not_serve_are_refused() -> None:
    swimmer, final = ActiveSwimmer(), torch.zeros(4, 2)
    with pytest.raises(TypeError, match="score"):
        ReversedProcess(process=swimmer, score=object(), end=1.0, final=final)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"trained from 0\.2 to 0\.5"):
        ReversedProcess(process=swimmer, score=learned(swimmer, "all"), end=1.0, final=final)
    with pytest.raises(ValueError, match="driven"):
        ReversedProcess(process=OrnsteinUhlenbeck(), score=learned(swimmer, "driven"), end=0.5, final=final)
