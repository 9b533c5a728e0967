"""Location and scale of a heavy-tailed law: diffusion score matching finds them from where score matching runs away."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from physcore.score import DiffusionScoreMatching, Direct, GeneralizedSlicedScoreMatching, MatrixFunction, Training, fit
from simulations import StudentDiffusion, simulate

_place = importlib.util.spec_from_file_location(
    "student_location_scale", Path(__file__).parents[2] / "benchmarks" / "student_location_scale.py"
)
assert _place is not None
assert _place.loader is not None
study = sys.modules.setdefault(_place.name, importlib.util.module_from_spec(_place))
_place.loader.exec_module(study)


def estimates(seed: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return what score matching and diffusion score matching find from every start."""
    state = study.draws(seed)
    plain, fixed = (
        [study.estimate(objective, state, start) for start in study.STARTS]
        for objective in (study.PLAIN, study.weighted(state))
    )
    return plain, fixed


def test_from_a_far_start_score_matching_may_run_away_where_diffusion_score_matching_does_not() -> None:
    plain, fixed = estimates(2)
    assert all(study.agree(found, fixed[0]) for found in fixed)
    assert abs(fixed[0][0] - study.LOCATION) < 5
    assert abs(fixed[0][1] - study.SCALE) < 3
    assert all(study.agree(found, plain[0]) for found in plain[:3])
    assert not study.agree(plain[3], plain[0])


def test_of_draws_far_out_diffusion_score_matching_makes_minima_where_score_matching_has_none() -> None:
    plain, fixed = estimates(1)
    assert all(study.agree(found, plain[0]) for found in plain)
    assert [study.agree(found, fixed[0]) for found in fixed] == [True, True, False, True]
    assert fixed[2][0] > 90
    assert study.draws(1).max() > 90


def test_at_a_draw_the_losses_fall_as_the_inverse_square_of_a_small_scale() -> None:
    state = study.draws()
    with torch.no_grad():
        for objective in study.objectives(state).values():
            losses = [
                study.loss(objective, study.LocationScale(float(state[7]), scale), state) for scale in (1e-5, 1e-6)
            ]
            assert float(losses[1]) < 0
            assert float(losses[1] / losses[0]) == pytest.approx(100, rel=1e-3)


def test_a_weight_that_moves_with_the_model_is_refused_for_its_loss_has_no_minimum_at_the_law() -> None:
    state, model = study.draws(), study.LocationScale(25.0, 10.0)

    def moving(x: torch.Tensor) -> torch.Tensor:
        weight: torch.Tensor = 1 + ((x - model.location) / model.log_scale.exp()).square()
        return weight.unsqueeze(-1)

    with pytest.raises(ValueError, match="depends on parameters that are trained"):
        study.loss(DiffusionScoreMatching(matrix=MatrixFunction(function=moving)), model, state)
    losses = [study.moving_weight(state, location) for location in (25.0, 50.0, 100.0, 200.0)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 1


def test_a_fit_measures_the_weight_on_its_trajectories_first() -> None:
    process = StudentDiffusion(initial_width=None)
    paths = simulate(process, paths=512, duration=0.4, dt=0.1, seed=1)
    training = Training(steps=8, batch=64, validate_every=4)
    for objective in (DiffusionScoreMatching(), GeneralizedSlicedScoreMatching()):
        score = fit(process, paths, objective=objective, model=Direct(), training=training, seed=2)
        assert score.history is not None
        assert "TailWeight(locations=(" in score.history.attrs["objective"]
        assert torch.isfinite(torch.from_numpy(score.history["training_loss"].values)).all()
