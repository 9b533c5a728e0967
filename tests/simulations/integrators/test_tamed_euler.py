"""Taming keeps a superlinear drift finite and leaves a slow one alone."""

import pytest
import torch
from torch import Tensor

from physcore import Process
from simulations import ActiveSwimmer, DoubleWell, EulerMaruyama, OrnsteinUhlenbeck, Scheme, TamedEuler


def run(scheme: Scheme, process: Process, state: Tensor, steps: int, dt: float) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    for k in range(steps):
        normals = torch.randn(len(state), scheme.normals(process), generator=generator, dtype=state.dtype)
        state = scheme.step(process, state, torch.tensor(k * dt, dtype=torch.float64), dt, normals)
    return state


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("process", [DoubleWell(), ActiveSwimmer()], ids=["double-well", "active-swimmer"])
def test_far_excursions_stay_finite_where_euler_maruyama_explodes(process: Process, dtype: torch.dtype) -> None:
    far = torch.full((64, process.dimension), 40.0, dtype=dtype)
    tamed = run(TamedEuler(), process, far, 400, 0.1)
    assert torch.isfinite(tamed).all()
    assert tamed[:, 0].abs().max() < 6
    assert not torch.isfinite(run(EulerMaruyama(), process, far, 400, 0.1)).all(-1).any()


def test_the_drift_moves_a_path_by_no_more_than_one() -> None:
    still, time = torch.zeros(3, 1, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    far = torch.tensor([[3.0], [-10.0], [1e6]], dtype=torch.float64)
    moved = TamedEuler().step(DoubleWell(), far, time, 0.1, still)
    assert ((moved - far).abs() <= 1).all()
    assert ((moved - far).abs() > 0.9).all()
    assert (moved.abs() < far.abs()).all()


def test_the_norm_is_that_of_all_components() -> None:
    process = OrnsteinUhlenbeck(drift_matrix=((-3.0, 0.0), (0.0, -4.0)))
    state, time = torch.ones(1, 2, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    moved = TamedEuler().step(process, state, time, 0.1, torch.zeros(1, 2, dtype=torch.float64))
    torch.testing.assert_close(moved, torch.tensor([[1 - 0.3 / 1.5, 1 - 0.4 / 1.5]], dtype=torch.float64))
