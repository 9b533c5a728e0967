"""Learning: what is learned, that it can be repeated, and what is refused."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from physcore.errors import NumericalError
from physcore.kernel_exponential_family import (
    DeepKernelExponentialFamily,
    DefensiveMixture,
    FamilyObjective,
    FamilyTraining,
    IsotropicGaussian,
    SlicedFamilyMatching,
    fit_family,
    log_normalizer,
    score_matching_loss,
)
from physcore.kernel_exponential_family.directions import Directions
from physcore.mixture import GaussianMixture
from physcore.score.slicings import ElementwiseWarp, RandomFourier, Slicing, SlicingField
from physcore.transform import Arcsinh

MIXTURE = GaussianMixture(means=((-1.5, 0.0), (1.5, 0.5)), width=0.5)
BRIEF = FamilyTraining(inducing=30, batch=100, epochs=6, refit_points=100, ridge_steps=50, ridge_learning_rate=0.01)
TINY = FamilyTraining(inducing=5, batch=20, epochs=1, refit_points=50, ridge_steps=3)
WARPED = SlicedFamilyMatching(slicing=ElementwiseWarp(bijection=Arcsinh(scale=2.0)), variance_reduction=True)


def samples(paths: int, seed: int) -> Tensor:
    return MIXTURE.sample(paths, torch.Generator().manual_seed(seed))


def relative_error(family: DeepKernelExponentialFamily) -> float:
    fresh = samples(2000, 3)
    score = MIXTURE.score(fresh)
    return float((family.score(fresh) - score).square().sum() / score.square().sum())


def gaussian_error() -> float:
    fresh = samples(2000, 3)
    score, centred = MIXTURE.score(fresh), fresh - fresh.mean(0)
    own = -torch.linalg.solve(torch.cov(fresh.T), centred.T).T
    return float((own - score).square().sum() / score.square().sum())


@pytest.mark.parametrize("objective", [None, WARPED], ids=["exact", "generalised slices"])
def test_a_mixture_is_learned(objective: FamilyObjective | None) -> None:
    family = fit_family(samples(600, 1), samples(100, 2), objective=objective, training=BRIEF, seed=4)
    assert relative_error(family) < 0.15 < 0.5 * gaussian_error()
    assert family.inducing.dtype is torch.float64
    assert family.history is not None
    assert family.history.sizes["step"] == 36
    best = int(np.argmin(family.history["validation_loss"].values))
    assert family.history.attrs["best_step"] == best


@pytest.mark.parametrize("near", [False, True], ids=["base measure", "kernels about samples"])
def test_the_density_is_normalised_by_importance_sampling(near: bool) -> None:
    points = samples(400, 1)
    family = fit_family(points, samples(100, 2), training=BRIEF, seed=4)
    broad = IsotropicGaussian(dimension=2)
    proposal = DefensiveMixture(centres=points[:100], broad=broad, widths=(0.3, 0.6)) if near else None
    generator = torch.Generator().manual_seed(5)
    estimate = log_normalizer(family, samples=20_000, proposal=proposal, generator=generator)
    axis = torch.linspace(-8, 8, 201, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    exact = float(torch.logsumexp(family.log_density_unnormalised(grid), 0)) + 2 * math.log(float(axis[1] - axis[0]))
    assert estimate.standard_error < 0.02
    assert abs(estimate.value - exact) < 5 * estimate.standard_error
    assert abs(estimate.value + 0.2 - exact) > 5 * estimate.standard_error
    fresh = samples(2000, 3)
    likelihood = float((family.log_density_unnormalised(fresh) - exact).mean())
    truth = float(MIXTURE.log_density(fresh).mean())
    assert truth - 0.3 < likelihood < truth
    assert torch.isnan(family.log_density(fresh)).all()
    family.log_normalizer.fill_(estimate.value)
    torch.testing.assert_close(family.log_density(fresh), family.log_density_unnormalised(fresh) - estimate.value)


def test_a_narrow_peak_is_met_from_the_samples_and_not_from_the_base_measure() -> None:
    """A peak that holds nearly all of the mass, against its integral by Laplace's method."""
    centre = torch.tensor([[0.5, -1.0, 2.0, 0.3, 1.0]], dtype=torch.float64)
    narrow = DeepKernelExponentialFamily(
        centre, log_widths=(-3.0,), generator=torch.Generator().manual_seed(1)
    ).double()
    narrow.requires_grad_(False).coefficients.fill_(60.0)
    directions = Directions.axes(centre, second=True)
    gram = narrow.kernels.log_widths.new_zeros(5, 5)
    for i in range(5):
        for j in range(5):
            both = directions.tangents[i] + directions.tangents[j]
            bent = [_second(narrow, centre, each) for each in (both, directions.tangents[i], directions.tangents[j])]
            gram[i, j] = -0.5 * (bent[0] - bent[1] - bent[2])
    height = float(narrow.log_density_unnormalised(centre))
    peak = height + 2.5 * math.log(2 * math.pi) - 0.5 * float(torch.logdet(gram))
    base = 2.5 * math.log(2 * math.pi * 4)
    assert peak > base + 5
    broad = log_normalizer(narrow, samples=5000, generator=torch.Generator().manual_seed(2))
    assert broad.value == pytest.approx(base, abs=0.01)
    assert broad.standard_error < 0.01  # sure of itself, and wrong
    proposal = DefensiveMixture(centres=centre, broad=IsotropicGaussian(dimension=5), widths=(0.01, 0.03, 0.1))
    near = log_normalizer(narrow, samples=20_000, proposal=proposal, generator=torch.Generator().manual_seed(2))
    assert near.value == pytest.approx(peak, abs=0.2)


def _second(family: DeepKernelExponentialFamily, points: Tensor, along: Tensor) -> float:
    line = Directions(state=points, tangents=along.unsqueeze(0), bend=torch.zeros_like(points), slopes=1, curved=1)
    return float(family.along(line).curvature)


def test_a_proposal_is_drawn_from_its_density() -> None:
    broad = IsotropicGaussian(dimension=2, width=1.5)
    mixture = DefensiveMixture(centres=samples(20, 1), broad=broad, widths=(0.3, 0.8), broad_share=0.3)
    drawn = mixture.sample(20_000, torch.Generator().manual_seed(5))
    for law in (broad, DefensiveMixture(centres=samples(20, 1), broad=broad, widths=(0.8,), broad_share=0.1)):
        ratios = (law.log_density(drawn) - mixture.log_density(drawn)).exp()
        error = float(ratios.std()) / math.sqrt(len(ratios))
        assert error < 0.02
        assert abs(float(ratios.mean()) - 1) < 5 * error
    with pytest.raises(ValueError, match="`width`"):
        IsotropicGaussian(dimension=2, width=-1.0)
    with pytest.raises(ValueError, match="`widths`"):
        DefensiveMixture(centres=drawn, broad=broad, widths=())
    with pytest.raises(ValueError, match="`broad_share`"):
        DefensiveMixture(centres=drawn, broad=broad, broad_share=1.0)
    with pytest.raises(ValueError, match="`centres`"):
        DefensiveMixture(centres=drawn[:, :1], broad=broad)


def test_a_fresh_family_is_its_base_measure() -> None:
    family = DeepKernelExponentialFamily(torch.zeros(4, 3), generator=torch.Generator()).double()
    generator = torch.Generator().manual_seed(1)
    estimate = log_normalizer(family, samples=5000, generator=generator)
    assert estimate.value == pytest.approx(1.5 * math.log(2 * math.pi * 4), abs=1e-12)
    assert estimate.standard_error == pytest.approx(0.0, abs=1e-12)
    assert estimate.effective_samples == pytest.approx(5000)
    points = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    loss = score_matching_loss(family, points)
    each = 0.5 * points.square().sum(-1) / 16 - 3 / 4
    assert loss.value == pytest.approx(float(each.mean()), abs=1e-12)
    assert loss.standard_error == pytest.approx(float(each.std()) / math.sqrt(50), abs=1e-12)


def test_the_same_seed_gives_the_same_density() -> None:
    points, held_out = samples(200, 1), samples(50, 2)
    one, other, third = (fit_family(points, held_out, objective=WARPED, training=TINY, seed=seed) for seed in (4, 4, 5))
    for name, value in one.state_dict().items():
        assert torch.equal(value.nan_to_num(), other.state_dict()[name].nan_to_num()), name
    assert not torch.equal(one.coefficients, third.coefficients)


def test_training_ends_when_nothing_is_gained() -> None:
    points = samples(400, 1)
    patient = FamilyTraining(inducing=5, batch=20, epochs=50, patience=2, refit_points=50, ridge_steps=0)
    family = fit_family(points, samples(20, 2), objective=SlicedFamilyMatching(), training=patient, seed=4)
    assert family.history is not None
    assert family.history.sizes["step"] == family.history.attrs["best_step"] + patient.patience + 2


def test_double_precision_agrees_with_single() -> None:
    points, held_out = samples(400, 1), samples(100, 2)
    settings = {"inducing": 20, "batch": 100, "epochs": 1, "refit_points": 200, "ridge_steps": 20}
    single, double = (
        fit_family(points, held_out, training=FamilyTraining(**settings, precision=precision), seed=4)
        for precision in ("float32", "float64")
    )
    torch.testing.assert_close(single.score(points), double.score(points), rtol=1e-2, atol=1e-2)


def test_numbers_that_are_not_finite_end_the_fit() -> None:
    wild = FamilyTraining(inducing=5, batch=20, learning_rate=1e30, ridge_steps=0)
    with pytest.raises(NumericalError, match="not finite in step"):
        fit_family(samples(100, 1), samples(20, 2), training=wild, seed=4)


class Unknown(Slicing):
    def draw(self, like: Tensor, generator: torch.Generator) -> SlicingField:
        return RandomFourier().draw(like, generator)


def test_what_cannot_work_is_refused_before_it_begins() -> None:
    points, held_out = samples(300, 1), samples(20, 2)
    with pytest.raises(ValueError, match="at least as many as `inducing`"):
        fit_family(points[:100], held_out)
    with pytest.raises(ValueError, match="must have 2 components"):
        fit_family(points, held_out[:, :1])
    with pytest.raises(ValueError, match="`training_points` must be finite"):
        fit_family(points * math.nan, held_out)
    with pytest.raises(ValueError, match="`held_out` must have shape"):
        fit_family(points, held_out[:0])
    with pytest.raises(ValueError, match="second moment"):
        SlicedFamilyMatching(slicing=Unknown(), variance_reduction=True)
    family = DeepKernelExponentialFamily(points[:5], generator=torch.Generator())
    with pytest.raises(ValueError, match="must have 2 components"):
        family.score(torch.zeros(3))
    with pytest.raises(ValueError, match="`base_width`"):
        DeepKernelExponentialFamily(points[:5], base_width=0.0)
    with pytest.raises(ValueError, match="`log_widths`"):
        DeepKernelExponentialFamily(points[:5], log_widths=(), generator=torch.Generator())
    with pytest.raises(ValueError, match="`samples`"):
        log_normalizer(family, samples=1, generator=torch.Generator())


@pytest.mark.parametrize(
    "setting",
    [{"inducing": 0}, {"batch": 1}, {"learning_rate": math.inf}, {"precision": "float16"}, {"patience": 0}],
    ids=str,
)
def test_a_training_out_of_range_is_refused(setting: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(setting))}`"):
        FamilyTraining(**setting)  # type: ignore[arg-type]
