"""The Fisher divergence of two scores with a field, against closed forms and after maps."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from analysis import Exact, Reference, riemannian_fisher_divergence
from analysis.stein import MatrixField, MetricField
from physcore.transform import Affine, Arcsinh
from simulations import OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck(
    drift_matrix=((-1.0, -1.0), (0.5, -0.7)),
    noise_matrix=((0.3, 0.0), (0.4, 0.8)),
    initial_mean=(2.0, -1.0),
    initial_covariance=((0.5, 0.1), (0.1, 0.2)),
)


class Off(Reference):
    """The exact score, stretched."""

    def score(self, state: Tensor, time: Tensor | float) -> Tensor:
        return 1.5 * TRAP.score(state, torch.as_tensor(time))


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return simulate(TRAP, paths=5000, duration=1.0, dt=0.5, scheme="exact-linear", dtype="float64", seed=1)


def test_without_a_field_it_is_the_fisher_divergence(data: xr.Dataset) -> None:
    """A score stretched by a has half (a - 1)^2 of the trace of the inverse covariance."""
    result = riemannian_fisher_divergence(TRAP, Off(), Exact(TRAP), data)
    for time in (0.0, 0.5, 1.0):
        covariance = TRAP.covariance(torch.tensor(time, dtype=torch.float64))
        expected = 0.125 * float(torch.linalg.inv(covariance).trace())
        entry = result.sel(time=time)
        assert abs(float(entry["value"]) - expected) < 4 * float(entry["standard_error"])
        assert float(entry["standard_error"]) < 0.05 * expected


def test_with_a_map_it_is_that_of_the_mapped_scores(data: xr.Dataset) -> None:
    bijection = Arcsinh(scale=0.7)
    result = riemannian_fisher_divergence(TRAP, Off(), Exact(TRAP), data, field=bijection, times=[0.5]).isel(time=0)
    states = torch.from_numpy(np.stack([data[name].sel(time=0.5).values for name in ("x0", "x1")], -1))
    score = TRAP.score(states, torch.tensor(0.5, dtype=torch.float64))
    apart = bijection.push_score(states, 1.5 * score) - bijection.push_score(states, score)
    halves = 0.5 * apart.square().sum(-1)
    assert float(result["value"]) == pytest.approx(float(halves.mean()), rel=1e-9)
    assert float(result["standard_error"]) == pytest.approx(float(halves.std()) / len(halves) ** 0.5, rel=1e-9)


def test_a_metric_a_function_and_a_map_of_one_metric_agree(data: xr.Dataset) -> None:
    matrix = torch.tensor([[1.0, 0.5], [-0.2, 1.4]], dtype=torch.float64)
    fields = (
        Affine(matrix=matrix.tolist()),
        MatrixField(function=lambda x: torch.linalg.inv(matrix).expand(len(x), 2, 2)),
        MetricField(metric=lambda x: (matrix.mT @ matrix).expand(len(x), 2, 2)),
    )
    results = [riemannian_fisher_divergence(TRAP, Off(), TRAP, data, field=field, normalised=True) for field in fields]
    for result in results[1:]:
        xr.testing.assert_allclose(result, results[0], rtol=1e-9)


def test_normalised_values_do_not_know_the_scale_of_the_field(data: xr.Dataset) -> None:
    def field(scale: float) -> MatrixField:
        return MatrixField(function=lambda x: scale * (1 + x.square().sum(-1))[:, None, None] * torch.eye(2).to(x))

    first, second = (
        riemannian_fisher_divergence(TRAP, Off(), TRAP, data, field=field(scale), normalised=True) for scale in (1, 9)
    )
    xr.testing.assert_allclose(first, second, rtol=1e-9)
    raw = riemannian_fisher_divergence(TRAP, Off(), TRAP, data, field=field(9))
    assert float((raw["value"] / second["value"]).min()) > 80


def test_the_error_of_a_ratio_is_its_scatter() -> None:
    field = Arcsinh(scale=0.5)
    values, errors = [], []
    for seed in range(40):
        few = simulate(TRAP, paths=200, duration=0.5, dt=0.5, scheme="exact-linear", dtype="float64", seed=seed)
        result = riemannian_fisher_divergence(TRAP, Off(), TRAP, few, field=field, normalised=True, times=[0.5]).isel(
            time=0
        )
        values.append(float(result["value"]))
        errors.append(float(result["standard_error"]))
    assert 0.75 < np.sqrt(np.mean(np.square(errors))) / np.std(values, ddof=1) < 1.35


def test_a_field_that_is_none_is_refused(data: xr.Dataset) -> None:
    with pytest.raises(TypeError, match="`field`"):
        riemannian_fisher_divergence(TRAP, Off(), TRAP, data, field=2.0)  # type: ignore[arg-type]
