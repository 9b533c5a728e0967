"""Kernel Stein discrepancies of scores at the times of simulated paths."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from analysis import Exact, Reference, diffusion_kernel_stein_discrepancy, kernel_stein_discrepancy
from analysis.stein import (
    GaussianKernel,
    InverseMultiquadricKernel,
    MatrixField,
    ScaledField,
    SteinFeatures,
    independent_signs,
    stein_test,
)
from analysis.stein.frames import joint_probability
from physcore.score import MLP, LocalScore
from physcore.transform import Affine, Arcsinh, Composition
from simulations import OrnsteinUhlenbeck, UnderdampedLangevin, simulate
from simulations.potentials import HarmonicPotential

TRAP = OrnsteinUhlenbeck(
    drift_matrix=((-1.0, -1.0), (0.5, -0.7)),
    noise_matrix=((0.3, 0.0), (0.4, 0.8)),
    initial_mean=(2.0, -1.0),
    initial_covariance=((0.5, 0.1), (0.1, 0.2)),
)
FEW = {"replicates": 200}


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return simulate(TRAP, paths=600, duration=1.0, dt=0.25, scheme="exact-linear", dtype="float64", seed=1)


class Off(Reference):
    """The exact score, stretched, from some time on."""

    def __init__(self, stretch: float, since: float = 0.0) -> None:
        self.stretch, self.since = stretch, since

    def score(self, state: Tensor, time: Tensor | float) -> Tensor:
        factor = self.stretch if float(time) >= self.since else 1.0
        return factor * TRAP.score(state, torch.as_tensor(time))


def states_of(data: xr.Dataset, time: float) -> Tensor:
    return torch.from_numpy(np.stack([data[name].sel(time=time).values for name in ("x0", "x1")], -1))


def test_the_exact_score_passes_and_a_wrong_one_does_not(data: xr.Dataset) -> None:
    right = kernel_stein_discrepancy(TRAP, Exact(TRAP), data, **FEW)
    wrong = kernel_stein_discrepancy(TRAP, Off(1.6), data, **FEW)
    assert right["value"].dims == ("time",)
    assert float(right["p_value"].min()) > 0.01
    assert float(right["joint_p_value"]) > 0.05
    assert float(np.abs(right["value"] / right["standard_error"]).max()) < 4
    assert float(wrong["p_value"].max()) < 0.03
    assert float(wrong["joint_p_value"]) < 0.01
    assert bool((wrong["v_statistic"] > wrong["null"].sel(quantile=0.95)).all())


def test_it_finds_the_time_from_which_a_score_is_wrong(data: xr.Dataset) -> None:
    result = kernel_stein_discrepancy(TRAP, Off(2.0, since=0.6), data, **FEW)
    assert float(result["p_value"].sel(time=[0.0, 0.25, 0.5]).min()) > 0.01
    assert float(result["p_value"].sel(time=[0.75, 1.0]).max()) < 0.01
    assert float(result["joint_p_value"]) < 0.01


def test_it_is_the_statistic_of_states_in_units_of_their_spread(data: xr.Dataset) -> None:
    result = kernel_stein_discrepancy(TRAP, Off(1.3), data, times=[0.5], paths=300, seed=4, **FEW).isel(time=0)
    states = states_of(data, 0.5)[:300]
    scores, spread = 1.3 * TRAP.score(states, torch.tensor(0.5, dtype=torch.float64)), states.std(0)
    signs = independent_signs(4, 200, 300)
    test = stein_test(SteinFeatures(states / spread, scores * spread), InverseMultiquadricKernel(), signs)
    for name in ("value", "standard_error", "v_statistic", "p_value", "bandwidth", "states"):
        assert float(result[name]) == pytest.approx(getattr(test, name), rel=1e-9)
    plain = kernel_stein_discrepancy(
        TRAP, Off(1.3), data, times=[0.5], scaling="none", kernel=GaussianKernel(), **FEW
    ).isel(time=0)
    test = stein_test(SteinFeatures(states_of(data, 0.5), 1.3 * TRAP.score(states_of(data, 0.5), torch.tensor(0.5))),
                      GaussianKernel())  # fmt: skip
    assert float(plain["value"]) == pytest.approx(test.value, rel=1e-6)


def test_of_a_score_of_driven_components_these_are_tested() -> None:
    """Their conditional law: the exact score of the velocity passes, whatever is missing of the position."""
    process = UnderdampedLangevin(potential=HarmonicPotential(dimension=1))
    data = simulate(process, paths=500, duration=0.5, dt=0.01, save_every=25, seed=3)
    ones = [1.0, 1.0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        score = LocalScore(
            process, (0.2, 0.5), window=0.6, start=0.0, center=ones, scale=ones, drift_scale=ones, network=MLP(),
            components="driven",
        )  # fmt: skip
    result = kernel_stein_discrepancy(process, score, data, **FEW).isel(time=-1)
    states = torch.from_numpy(np.stack([data[name].isel(time=-1).values for name in data], -1)).double()
    with torch.no_grad():
        scores = score.score(states, torch.tensor(0.5, dtype=torch.float64)).double()
    assert not scores[:, 0].any()
    field = ScaledField(lengths=tuple(states.std(0).tolist()), held=(1,))
    test = stein_test(field.features(states, scores), InverseMultiquadricKernel(), independent_signs(0, 200, 500))
    assert float(result["value"]) == pytest.approx(test.value, rel=1e-6)
    assert float(result["p_value"]) == pytest.approx(test.p_value)
    with pytest.raises(ValueError, match="does not hold"):
        diffusion_kernel_stein_discrepancy(process, score, data, Arcsinh())


def test_with_a_map_it_is_that_after_the_map(data: xr.Dataset) -> None:
    bijection = Composition(bijections=(Affine(matrix=((1.0, 0.5), (-0.2, 1.4))), Arcsinh(scale=0.8)))
    result = diffusion_kernel_stein_discrepancy(TRAP, Off(1.3), data, bijection, times=[0.5], **FEW).isel(time=0)
    states = states_of(data, 0.5)
    scores = bijection.push_score(states, 1.3 * TRAP.score(states, torch.tensor(0.5, dtype=torch.float64)))
    test = stein_test(
        SteinFeatures(bijection.forward(states), scores), InverseMultiquadricKernel(), independent_signs(0, 200, 600)
    )
    assert float(result["value"]) == pytest.approx(test.value, rel=1e-9)
    assert float(result["p_value"]) == pytest.approx(test.p_value)


def test_a_field_of_the_identity_is_none(data: xr.Dataset) -> None:
    field = MatrixField(function=lambda x: torch.eye(2, dtype=x.dtype).expand(len(x), 2, 2))
    options = {"times": [1.0], "kernel": GaussianKernel(bandwidth=1.0), **FEW}
    first = diffusion_kernel_stein_discrepancy(TRAP, Off(1.3), data, field, **options)
    second = kernel_stein_discrepancy(TRAP, Off(1.3), data, scaling="none", **options)
    xr.testing.assert_allclose(first, second)


def test_of_several_kernels_the_most_powerful_is_taken_on_paths_that_the_test_leaves_out(data: xr.Dataset) -> None:
    kernels = [GaussianKernel(bandwidth=length) for length in (0.02, 1.0)]
    result = kernel_stein_discrepancy(TRAP, Off(1.5), data, times=[0.5, 1.0], kernel=kernels, **FEW)
    assert list(result["choice"].values) == [1, 1]
    assert list(result["states"].values) == [480, 480]
    maps = [Affine(matrix=((50.0, 0.0), (0.0, 50.0))), Affine(matrix=((1.0, 0.0), (0.0, 1.0)))]
    options = {"times": [1.0], "kernel": GaussianKernel(bandwidth=1.0), **FEW}
    assert list(diffusion_kernel_stein_discrepancy(TRAP, Off(2.5), data, maps, **options)["choice"].values) == [1]


def test_the_number_of_times_and_the_seed_change_what_they_should(data: xr.Dataset) -> None:
    one = kernel_stein_discrepancy(TRAP, Exact(TRAP), data, times=[0.5], **FEW)
    two = kernel_stein_discrepancy(TRAP, Exact(TRAP), data, times=[0.25, 0.5], **FEW)
    xr.testing.assert_identical(one.drop_vars("joint_p_value"), two.sel(time=[0.5]).drop_vars("joint_p_value"))
    other = kernel_stein_discrepancy(TRAP, Exact(TRAP), data, times=[0.5], seed=1, **FEW)
    np.testing.assert_array_equal(other["value"], one["value"])
    assert not np.array_equal(other["null"], one["null"])


def test_the_joint_probability_is_kept_where_all_times_are_right() -> None:
    generator = np.random.default_rng(1)
    found = []
    for _ in range(200):
        shared = generator.standard_normal((1, 201))
        all_times = 3.0 + 2.0 * (shared + generator.standard_normal((5, 201)))
        found.append(joint_probability(all_times[:, 0], all_times[:, 1:]))
    assert abs(np.mean(np.array(found) <= 0.1) - 0.1) < 4 * np.sqrt(0.09 / 200)
    assert joint_probability(np.array([99.0, 0.0]), all_times[:2]) < 0.01


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda data: kernel_stein_discrepancy(TRAP, TRAP, data, scaling="median"), "`scaling`"),
        (lambda data: kernel_stein_discrepancy(TRAP, TRAP, data, replicates=0), "`replicates`"),
        (lambda data: kernel_stein_discrepancy(TRAP, TRAP, data, paths=2), "`paths`"),
        (lambda data: kernel_stein_discrepancy(TRAP, TRAP, data, kernel=[]), "one candidate"),
        (lambda data: kernel_stein_discrepancy(TRAP, TRAP, data, seed=-1), "`seed`"),
        (lambda data: kernel_stein_discrepancy(TRAP, TRAP, data, device="tpu"), "`device`"),
        (lambda data: kernel_stein_discrepancy(TRAP, TRAP, data.assign(x1=0 * data["x1"] + 1.0)), "component 1"),
    ],
    ids=["scaling", "replicates", "paths", "no kernels", "seed", "device", "no spread"],
)
def test_bad_input_is_refused(data: xr.Dataset, call: Callable[[xr.Dataset], object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        call(data)
