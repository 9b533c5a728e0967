"""Generalized sliced and diffusion score matching: identities between their losses, and what they refuse."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from physcore import Process
from physcore.mixture import GaussianMixture
from physcore.registry import build
from physcore.score import (
    DiffusionMatrix,
    DiffusionScoreMatching,
    GeneralizedSlicedScoreMatching,
    GradientProjection,
    ImplicitScoreMatching,
    InverseJacobian,
    InverseMetric,
    LinearProjection,
    MatrixFunction,
    Objective,
    QuadraticProjection,
    Samples,
    SlicedScoreMatching,
    Slicing,
    SlicingField,
    TailWeight,
    Uniform,
)
from physcore.score.model import Prepared, ScoreModel
from physcore.score.parametrizations.frames import TriangularFrame
from physcore.transform import AdditiveLogistic, Affine, Arctan, Bijection, Composition, Tanh
from simulations import OrnsteinUhlenbeck

TRAP = OrnsteinUhlenbeck(drift_matrix=((-1.0, -1.0), (0.5, -0.7)), noise_matrix=((1.0, 0.0), (0.5, 0.8)))
SPRING = OrnsteinUhlenbeck(drift_matrix=((0.0, 1.0), (-1.0, -0.5)), noise_matrix=((0.0, 0.0), (0.0, 1.0)))

Score = Callable[[Tensor], Tensor]
EveryField = Callable[[Slicing, Tensor], list[SlicingField]]
properties = settings(max_examples=5, deadline=None, database=None, derandomize=True)
seeds = st.integers(0, 2**31)


class Known(ScoreModel):
    """A given score, stated in a frame that bends with the state."""

    def __init__(self, score: Score, process: Process = TRAP) -> None:
        super().__init__(process, (0.0, 1.0), components="all" if process is TRAP else "driven")
        self.given, self.strength = score, nn.Parameter(torch.ones((), dtype=torch.float64))

    @property
    def options(self) -> dict[str, object]:
        return {}

    def prepare(self, state: Tensor, time: Tensor) -> Prepared:
        x, y = state.unbind(-1)
        rows = [torch.exp(0.3 * torch.sin(x + y)), torch.zeros_like(x), 0.5 * x, torch.exp(0.2 * torch.cos(x))]
        frame = TriangularFrame.of(torch.stack(rows).reshape(2, 2, -1), self.learned)
        return Prepared(state.unsqueeze(-1), time.unsqueeze(-1), frame)

    def weighted(self, prepared: Prepared) -> Tensor:
        return prepared.frame.weight(self.strength * self.given(prepared.features[..., 0]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawn(Slicing):
    """A slicing of which every draw is one given field."""

    slicing: Slicing
    drawn: SlicingField
    known_second_moment = True

    def draw(self, like: Tensor, generator: torch.Generator) -> SlicingField:
        return self.drawn

    def second_moment(self, state: Tensor, vector: Tensor) -> Tensor:
        return self.slicing.second_moment(state, vector)

    def second_moment_divergence(self, state: Tensor) -> Tensor:
        return self.slicing.second_moment_divergence(state)


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def losses(objective: Objective, score: Score, state: Tensor, process: Process = TRAP, seed: int = 7) -> Tensor:
    samples = Samples(state=state.unsqueeze(1), time=torch.full((len(state),), 0.5, dtype=state.dtype))
    with torch.no_grad():
        return objective.loss(Known(score, process), samples, seeded(seed))


def twisted(state: Tensor) -> Tensor:
    """Return a field that is no gradient, as learned scores are not."""
    x, y = state.unbind(-1)
    return torch.stack([torch.sin(y) - x + 0.3 * x * y, torch.cos(x) - 0.5 * y], -1)


def points(seed: int, number: int = 6) -> Tensor:
    return torch.randn(number, 2, generator=seeded(seed), dtype=torch.float64)


def close(first: Tensor, second: Tensor) -> None:
    assert first.shape == second.shape
    assert float(((first - second) / (1 + second.abs())).detach().abs().max()) < 1e-10


def divergence(function: Score, state: Tensor) -> Tensor:
    """Return the trace of the Jacobian of a field at each point."""
    point = state.clone().requires_grad_()
    parts = function(point).unbind(-1)
    rows = [torch.autograd.grad(part.sum(), point, retain_graph=True)[0] for part in parts]
    return torch.stack(rows, 1).diagonal(dim1=1, dim2=2).sum(-1)


def mean_integrand(slicing: Slicing, score: Score, state: Tensor) -> Tensor:
    """Return s^T M s / 2 + div(M s) of each point."""

    def flux(x: Tensor) -> Tensor:
        return slicing.second_moment(x, score(x))

    return 0.5 * (score(state) * flux(state)).sum(-1) + divergence(flux, state)


@pytest.mark.parametrize("reduced", [False, True], ids=["plain", "reduced"])
@given(seed=seeds)
@properties
def test_the_mean_over_every_field_is_diffusion_score_matching(
    case: Any, every_field: EveryField, reduced: bool, seed: int
) -> None:
    slicing, state = case.slicing, case.points(seed, 3)
    drawn = [Drawn(slicing=slicing, drawn=field) for field in every_field(slicing, state)]
    each = [GeneralizedSlicedScoreMatching(slicing=one, variance_reduction=reduced) for one in drawn]
    mean = torch.stack([losses(objective, twisted, state) for objective in each]).mean(0)
    close(mean, mean_integrand(slicing, twisted, state))


def test_the_exact_loss_is_the_sum_over_columns_and_slices_are_generalized_ones(matrix_case: Any) -> None:
    chosen, state = matrix_case.slicing, matrix_case.points(3, 6)
    close(losses(DiffusionScoreMatching(matrix=chosen), twisted, state), mean_integrand(chosen, twisted, state))
    for reduced in (True, False):
        sliced = DiffusionScoreMatching(
            matrix=chosen, divergence="sliced", projection_count=2, variance_reduction=reduced
        )
        same = GeneralizedSlicedScoreMatching(slicing=chosen, projection_count=2, variance_reduction=reduced)
        assert torch.equal(losses(sliced, twisted, state), losses(same, twisted, state))


def test_without_a_matrix_it_is_score_matching_and_constant_fields_are_plain_slices() -> None:
    state = points(3)
    plain = ImplicitScoreMatching(weighting=Uniform())
    close(losses(DiffusionScoreMatching(matrix=LinearProjection()), twisted, state), losses(plain, twisted, state))
    for reduced in (True, False):
        sliced = SlicedScoreMatching(weighting=Uniform(), variance_reduction=reduced, projection_count=3)
        fields = GeneralizedSlicedScoreMatching(
            slicing=LinearProjection(), variance_reduction=reduced, projection_count=3
        )
        close(losses(fields, twisted, state), losses(sliced, twisted, state))


FLOWS: dict[str, Bijection] = {
    "arctan": Arctan(scale=0.9),
    "simplex": AdditiveLogistic(),
    "chain": Composition(
        bijections=(Affine(matrix=[[1.0, 0.4], [-0.3, 0.8]]), Tanh(scale=3.0), Affine(matrix=[[0.6, -0.5], [0.2, 1.0]]))
    ),
}


def flow_integrand(flow: Bijection, law: GaussianMixture, state: Tensor) -> Tensor:
    """Return |s|^2 / 2 + tr grad s of the law carried through a flow, differentiated in its image."""

    def score(image: Tensor) -> Tensor:
        point = image if image.requires_grad else image.clone().requires_grad_()
        origin = flow.inverse(point)
        log_density = law.log_density(origin) - flow.log_determinant(origin)
        return torch.autograd.grad(log_density.sum(), point, create_graph=True)[0]

    image = flow.forward(state).detach()
    return 0.5 * score(image).detach().square().sum(-1) + divergence(score, image)


def law(seed: int) -> GaussianMixture:
    means = torch.randn(3, 2, generator=seeded(seed)).tolist()
    return GaussianMixture(means=tuple(map(tuple, means)), width=0.8)


@pytest.mark.parametrize("kind", FLOWS)
@given(seed=seeds)
@properties
def test_with_an_inverse_jacobian_it_is_score_matching_after_the_flow(kind: str, seed: int) -> None:
    flow, state = FLOWS[kind], points(seed, 3)
    objective = DiffusionScoreMatching(matrix=InverseJacobian(bijection=flow))
    models = [law(seed + k) for k in range(3)]
    differences = [losses(objective, model.score, state) - flow_integrand(flow, model, state) for model in models]
    close(differences[1], differences[0])
    close(differences[2], differences[0])
    # A sibling: score matching before the flow differs by more than what the points have in common.
    plain = [
        losses(DiffusionScoreMatching(matrix=LinearProjection()), model.score, state)
        - flow_integrand(flow, model, state)
        for model in models
    ]
    assert float((plain[1] - plain[0]).abs().max()) > 1e-3


@pytest.mark.parametrize("name", ["arcsinh warp", "inverse of arctan", "matrix", "metric", "heavy tails"])
def test_implicit_and_explicit_losses_differ_by_a_constant(name: str, named: Callable[[str], DiffusionMatrix]) -> None:
    matrix, data = named(name), law(1)
    axis = torch.linspace(-9, 9, 121, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    density = data.log_density(grid).exp() * (axis[1] - axis[0]) ** 2

    def mean_square(difference: Tensor) -> float:
        return float((density * 0.5 * matrix.transposed(grid, difference).square().sum(-1)).sum())

    for score in (law(2).score, law(3).score, lambda x: -x):
        implicit = float((density * losses(DiffusionScoreMatching(matrix=matrix), score, grid)).sum())
        explicit = mean_square(score(grid) - data.score(grid)) - mean_square(data.score(grid))
        assert implicit == pytest.approx(explicit, abs=1e-9, rel=1e-9)


@pytest.mark.parametrize("kind", ["generalized-sliced-score-matching", "diffusion-score-matching"])
def test_fields_of_learned_components_leave_the_others_alone(kind: str) -> None:
    weight = TailWeight(locations=(0.3, -0.2), scales=(0.7, 1.5), exponent=1.0)
    key = "slicing" if kind.startswith("generalized") else "matrix"
    objective = build("physcore.objectives", kind, {key: weight, "variance_reduction": True})
    state = points(5)
    # One sign squares away, so that every slice of a single component is exact.
    y, score = state[:, 1], twisted(state)[:, 1]
    entry, slope = 1 + ((y + 0.2) / 1.5) ** 2, 2 * (y + 0.2) / 1.5**2
    expected = 0.5 * (entry * score) ** 2 - 0.5 * entry**2 + 2 * entry * slope * score
    close(losses(objective, twisted, state, SPRING), expected)


def trained_matrix(strength: Tensor) -> MatrixFunction:
    return MatrixFunction(function=lambda x: strength * torch.diag_embed(1 + x * x))


REFUSED: dict[str, Callable[[Tensor], DiffusionMatrix]] = {
    "function": trained_matrix,
    "metric": lambda strength: InverseMetric(metric=lambda x: strength * torch.diag_embed(1 + x * x)),
    "gradient": lambda strength: GradientProjection(function=lambda x: torch.sin(strength * x), values=2),
}


@pytest.mark.parametrize("how", ["exact", "sliced", "reduced", "generalized"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_matrix_that_is_trained_is_refused_with_the_reason(name: str, how: str) -> None:
    objectives: dict[str, Callable[[DiffusionMatrix], Objective]] = {
        "exact": lambda m: DiffusionScoreMatching(matrix=m),
        "sliced": lambda m: DiffusionScoreMatching(matrix=m, divergence="sliced", variance_reduction=False),
        "reduced": lambda m: DiffusionScoreMatching(matrix=m, divergence="sliced"),
        "generalized": lambda m: GeneralizedSlicedScoreMatching(slicing=m),
    }
    strength = torch.tensor(1.2, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ValueError, match=r"depends on parameters that are trained.*leaves out"):
        losses(objectives[how](REFUSED[name](strength)), twisted, points(1))
    # The same numbers, held fixed, are taken.
    assert losses(objectives[how](REFUSED[name](strength.detach())), twisted, points(1)).isfinite().all()


def test_a_flow_in_training_is_refused_and_a_frozen_one_is_taken() -> None:
    zuko = pytest.importorskip("zuko")
    from physcore.transform import flow_bijection

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        flow = zuko.flows.NICE(2, transforms=2, hidden_features=(8,), activation=nn.Tanh).double()
    state = points(1)
    with pytest.raises(ValueError, match="depends on parameters that are trained"):
        losses(DiffusionScoreMatching(matrix=InverseJacobian(bijection=flow_bijection(flow))), twisted, state)
    flow.requires_grad_(False)
    frozen = InverseJacobian(bijection=flow_bijection(flow))
    close(losses(DiffusionScoreMatching(matrix=frozen), twisted, state), mean_integrand(frozen, twisted, state))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unknown(Slicing):
    """A slicing that says nothing about its second moment."""

    def draw(self, like: Tensor, generator: torch.Generator) -> SlicingField:
        return LinearProjection().draw(like, generator)


def test_d7_what_cannot_be_minimised_is_refused_beforehand() -> None:
    for kind in (GeneralizedSlicedScoreMatching, DiffusionScoreMatching):
        with pytest.raises(ValueError, match="`projection_count` must be at least 1"):
            kind(projection_count=0)
    with pytest.raises(ValueError, match="`variance_reduction` must be False"):
        GeneralizedSlicedScoreMatching(slicing=Unknown())
    with pytest.raises(NotImplementedError, match="no second moment"):
        Unknown().second_moment(points(1), points(1))
    with pytest.raises(NotImplementedError, match="no second moment"):
        Unknown().second_moment_divergence(points(1))
    plain = GeneralizedSlicedScoreMatching(slicing=Unknown(), variance_reduction=False)
    assert losses(plain, twisted, points(1)).isfinite().all()


def test_objectives_are_built_from_plain_names() -> None:
    built = build(
        "physcore.objectives",
        "diffusion-score-matching",
        {
            "matrix": {"name": "inverse-jacobian", "bijection": {"name": "arctan", "scale": 2.0}},
            "divergence": "sliced",
        },
    )
    assert built == DiffusionScoreMatching(matrix=InverseJacobian(bijection=Arctan(scale=2.0)), divergence="sliced")
    fields = {"slicing": {"name": "quadratic", "curvature": 0.2}, "variance_reduction": False}
    built = build("physcore.objectives", "generalized-sliced-score-matching", fields)
    assert built.slicing == QuadraticProjection(curvature=0.2)
    assert build("physcore.objectives", "diffusion-score-matching", {"matrix": "linear"}).matrix == LinearProjection()
    with pytest.raises(ValueError, match="unknown name 'quadratic' among diffusion_matrices"):
        build("physcore.objectives", "diffusion-score-matching", {"matrix": "quadratic"})
