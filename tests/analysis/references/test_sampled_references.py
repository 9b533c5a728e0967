"""References that learn from samples, against laws that are known."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from analysis import (
    GaussianFit,
    GaussianMixtureFit,
    KernelDensity,
    KernelScore,
    SampledReference,
    SpectralStein,
    TransitionMixture,
)
from analysis.command import check_pool
from analysis.comparison import Comparison
from analysis.references import sampled
from analysis.references.kernel_score import nu_method
from analysis.references.samples import lag_choice
from physcore import Communicator, Gaussian
from physcore.errors import DataFileError, NumericalError
from physcore.mixture import GaussianMixture
from physcore.trajectory import trajectory_dataset
from simulations import OrnsteinUhlenbeck

PROCESS = OrnsteinUhlenbeck()
LAW = Gaussian(
    mean=torch.tensor([1.0, -2.0], dtype=torch.float64),
    covariance=torch.tensor([[4.0, 0.3], [0.3, 0.04]], dtype=torch.float64),
)
PEAKS = GaussianMixture(means=((-2.0, 0.0), (2.0, 1.0)), width=0.5, weights=(0.3, 0.7))
KINDS = [GaussianFit, GaussianMixtureFit, KernelDensity, KernelScore, SpectralStein, TransitionMixture]
DENSITIES = [GaussianFit, GaussianMixtureFit, KernelDensity, TransitionMixture]


def samples_of(law: Gaussian | GaussianMixture, count: int, seed: int = 0) -> xr.Dataset:
    """Paths that are drawn anew from a law at times 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.stack([law.sample(count, generator).T for _ in range(2)], 1)
    return trajectory_dataset(PROCESS, states.numpy(), np.array([0.0, 1.0]), np.arange(count), {})


def error(reference: SampledReference, law: Gaussian | GaussianMixture) -> float:
    """Return the relative error in coordinates of unit covariance."""
    states = law.sample(4000, torch.Generator().manual_seed(99))
    factor = torch.linalg.cholesky(torch.cov(states.T))
    exact = law.score(states) @ factor
    return float((reference.score(states, 1.0) @ factor - exact).square().sum() / exact.square().sum())


def test_a_gaussian_fit_to_a_gaussian_errs_by_its_moments_alone() -> None:
    count = 20_000
    # Of mean and covariance: E|ds|^2 / E|s|^2 = (d + d (d + 1)) / (N d) in whitened coordinates; derived.
    assert error(GaussianFit(PROCESS, samples_of(LAW, count)), LAW) < 10 * 4 / count
    assert error(GaussianFit(PROCESS, samples_of(PEAKS, count)), PEAKS) > 0.1


def test_a_mixture_finds_the_peaks_and_their_number() -> None:
    fit = GaussianMixtureFit(PROCESS, samples_of(PEAKS, 8000))
    assert error(fit, PEAKS) < 0.01
    assert fit.at(1.0).numbers == 2 * 6
    one = GaussianMixtureFit(PROCESS, samples_of(PEAKS, 8000), gaussians=1)
    same = GaussianFit(PROCESS, samples_of(PEAKS, 8000))
    states = PEAKS.sample(100, torch.Generator().manual_seed(1))
    torch.testing.assert_close(one.score(states, 1.0), same.score(states, 1.0), rtol=1e-3, atol=1e-3)


def test_a_kernel_density_is_the_average_of_its_kernels() -> None:
    data = samples_of(LAW, 500)
    states = LAW.sample(50, torch.Generator().manual_seed(5)).requires_grad_()
    points = torch.from_numpy(np.stack([data[v.name].isel(time=1).values for v in PROCESS.variables], -1))
    kernels = torch.distributions.MultivariateNormal(points, 0.4**2 * torch.cov(points.T))
    density = torch.logsumexp(kernels.log_prob(states.unsqueeze(1)), 1) - np.log(500)
    reference = KernelDensity(PROCESS, data, bandwidth=0.4)
    torch.testing.assert_close(reference.log_density(states.detach(), 1.0), density.detach(), rtol=0, atol=2e-4)
    slope = torch.autograd.grad(density.sum(), states)[0]
    torch.testing.assert_close(reference.score(states.detach(), 1.0), slope, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("law", [LAW, PEAKS], ids=["gaussian", "peaks"])
def test_cross_validation_finds_nearly_the_best_bandwidth(law: Gaussian | GaussianMixture) -> None:
    data = samples_of(law, 4000)
    errors = [error(KernelDensity(PROCESS, data, bandwidth=0.1 * 1.4**k), law) for k in range(6)]
    assert error(KernelDensity(PROCESS, data), law) < 1.3 * min(errors)
    assert errors[0] > 2 * min(errors)


@pytest.mark.parametrize("kind", [SpectralStein, KernelScore])
def test_kernel_expansions_find_the_score(kind: Callable[..., SampledReference]) -> None:
    data = samples_of(LAW, 4000)
    assert error(kind(PROCESS, data, features=100), LAW) < 0.02
    assert error(kind(PROCESS, samples_of(PEAKS, 4000), features=100), PEAKS) < 0.08
    # A sibling: two kernels cannot.
    assert error(kind(PROCESS, samples_of(PEAKS, 4000), features=2), PEAKS) > 0.1


def test_the_nu_method_becomes_the_inverse_and_spares_small_eigenvalues() -> None:
    eigenvalue = torch.tensor([1e-9, 0.01, 0.3, 1.0], dtype=torch.float64)
    filters = nu_method(eigenvalue, 1000)
    torch.testing.assert_close(filters[0], torch.full((4,), 6 / 5, dtype=torch.float64))
    torch.testing.assert_close(filters[-1][1:], 1 / eigenvalue[1:], rtol=1e-2, atol=0)
    assert 0 < float(filters[-1][0]) < 10 * 1000**2
    assert (filters[:, 0].diff() > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_one_keeps_shape_and_dtype_and_leaves_its_input(kind: Callable[..., SampledReference]) -> None:
    data = samples_of(LAW, 400)
    before = data.copy(deep=True)
    reference = kind(PROCESS, data)
    states = LAW.sample(6, torch.Generator().manual_seed(2)).float().reshape(2, 3, 2)
    kept = states.clone()
    answer = reference.score(states, torch.tensor(1.0))
    assert answer.shape == states.shape
    assert answer.dtype == torch.float32
    assert torch.isfinite(answer).all()
    torch.testing.assert_close(states, kept)
    xr.testing.assert_identical(data, before)
    again = kind(PROCESS, data)
    torch.testing.assert_close(again.score(states, 1.0), answer, rtol=0, atol=0)
    assert repr(reference).startswith(f"{kind.__name__}({PROCESS!r}, <400 paths>")
    with pytest.raises(ValueError, match="one time"):
        reference.score(states, torch.zeros(2))


@pytest.mark.parametrize("kind", DENSITIES)
def test_the_score_of_a_density_is_its_gradient(kind: Callable[..., SampledReference]) -> None:
    reference = kind(PROCESS, samples_of(PEAKS, 600))
    states, step = PEAKS.sample(20, torch.Generator().manual_seed(3)), 1e-5
    for axis in torch.eye(2, dtype=torch.float64):
        ahead, behind = (reference.log_density(states + sign * step * axis, 1.0) for sign in (1, -1))
        along = (reference.score(states, 1.0) * axis).sum(-1)
        torch.testing.assert_close((ahead - behind) / (2 * step), along, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [SpectralStein, KernelScore])
def test_an_expansion_has_no_density(kind: Callable[..., SampledReference]) -> None:
    with pytest.raises(NotImplementedError, match="score alone"):
        kind(PROCESS, samples_of(LAW, 200)).log_density(torch.zeros(1, 2), 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_learned_from_is_refused(kind: Callable[..., SampledReference]) -> None:
    data = samples_of(LAW, 100)
    states: Tensor = torch.zeros(1, 2)
    with pytest.raises(ValueError, match="given none"):
        kind(PROCESS).score(states, 1.0)
    with pytest.raises(ValueError, match="`paths`"):
        kind(PROCESS, data, paths=1)
    with pytest.raises(ValueError, match="101 paths or more"):
        kind(PROCESS, data, paths=101)
    with pytest.raises(DataFileError, match="lack"):
        kind(PROCESS, data.rename(x0="y"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not TransitionMixture])
def test_a_time_that_was_not_saved_and_samples_in_a_plane_are_refused(kind: Callable[..., SampledReference]) -> None:
    data = samples_of(LAW, 100)
    with pytest.raises(ValueError, match="not saved"):
        kind(PROCESS, data).score(torch.zeros(1, 2), 0.4)
    with pytest.raises(NumericalError, match="spread"):
        kind(PROCESS, data.assign(x1=0 * data["x1"])).score(torch.zeros(1, 2), 1.0)


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        (KernelDensity, {"bandwidth": 0.0}),
        (GaussianMixtureFit, {"gaussians": 0}),
        (GaussianMixtureFit, {"iterations": 0}),
        (SpectralStein, {"features": 1}),
        (KernelScore, {"features": 1}),
        (KernelScore, {"most_iterations": 0}),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused_by_name(
    kind: Callable[..., SampledReference], option: dict[str, int]
) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(option))}`"):
        kind(PROCESS, **option)


def test_a_comparison_must_leave_paths_to_learn_from() -> None:
    references = {"kernel-density": KernelDensity(PROCESS, paths=500)}
    check_pool(references, Comparison(paths=1000), 1500)
    with pytest.raises(ValueError, match="500 or more"):
        check_pool(references, Comparison(paths=1000), 1499)
    with pytest.raises(ValueError, match="two or more"):
        check_pool({"gaussian-fit": GaussianFit(PROCESS)}, Comparison(paths=1000), 1000)


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_share_what_is_learned_and_know_the_same(
    kind: type[SampledReference], in_ranks: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag_choice, "BIAS_STATES", 256)
    times, states = [1.0, 2.0, 3.0], LAW.sample(5, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(0)
    paths = torch.stack([LAW.sample(60, generator).T for _ in range(4)], 1)
    data = trajectory_dataset(PROCESS, paths.numpy(), np.array([0.0, *times]), np.arange(60), {})
    expected = torch.stack([kind(PROCESS, data).score(states, time) for time in times])
    learned, real = [], kind.learn

    def noted(reference: SampledReference, time: float) -> Any:
        learned.append(time)
        return pickle.loads(pickle.dumps(real(reference, time)))  # as it goes from process to process

    monkeypatch.setattr(kind, "learn", noted)

    def scores(ranks: Communicator) -> Tensor:
        reference = kind(PROCESS, data)
        reference.prepare(times, ranks)
        return torch.stack([reference.score(states, time) for time in times])

    for size in (1, 2, 3):
        learned.clear()
        for found in in_ranks(size, scores):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
        assert sorted(learned) == times


@pytest.mark.parametrize("rank", [0, 1])
def test_ranks_that_were_asked_for_other_times_before_agree(
    rank: int, in_ranks: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag_choice, "BIAS_STATES", 256)
    paths = torch.stack([LAW.sample(60, torch.Generator().manual_seed(k)).T for k in range(4)], 1)
    data = trajectory_dataset(PROCESS, paths.numpy(), np.arange(4.0), np.arange(60), {})

    def errors(ranks: Communicator) -> list[float | None]:
        reference = TransitionMixture(PROCESS, data, lag=0.5)
        if ranks.rank == rank:
            reference.score(torch.zeros(1, 2), 1.0)
            reference.error_estimate(2.0)
        reference.prepare([1.0, 2.0, 3.0], ranks)
        return reference.error_estimates([1.0, 2.0, 3.0], ranks)

    first, second = in_ranks(2, errors)
    assert first == second


def test_what_cannot_be_kept_is_not_learned_beforehand(
    in_ranks: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = torch.stack([LAW.sample(60, torch.Generator().manual_seed(k)).T for k in range(5)], 1)
    data = trajectory_dataset(PROCESS, paths.numpy(), np.arange(5.0), np.arange(60), {})
    learned, real = [], GaussianFit.learn

    def noted(reference: GaussianFit, time: float) -> Any:
        learned.append(time)
        return real(reference, time)

    monkeypatch.setattr(GaussianFit, "learn", noted)
    monkeypatch.setattr(sampled, "MOST_NUMBERS", 2 * GaussianFit(PROCESS, data).at(0.0).numbers)
    for size, expected in ((1, [0.0, 1.0, 2.0]), (2, [0.0, 1.0, 2.0, 3.0])):
        learned.clear()
        in_ranks(size, lambda ranks: GaussianFit(PROCESS, data).prepare(np.arange(5.0).tolist(), ranks))
        assert sorted(learned) == expected
