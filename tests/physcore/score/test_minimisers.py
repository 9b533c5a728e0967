"""The minimiser of every objective is the score: the gradient of its loss vanishes there, and not beside it."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from physcore import Process
from physcore.law import Gaussian
from physcore.mixture import GaussianMixture
from physcore.score import (
    Batch,
    DiffusionScoreMatching,
    EulerDenoising,
    ExactDenoising,
    GeneralizedSlicedScoreMatching,
    ImplicitScoreMatching,
    Likelihood,
    LocalDenoising,
    MixtureDenoising,
    Objective,
    OwnFrame,
    Perceptual,
    QuadraticProjection,
    RandomFourier,
    SlicedScoreMatching,
    TailWeight,
    Uniform,
    Weighting,
)
from physcore.score.model import Prepared, ScoreModel
from physcore.score.parametrizations.frames import TriangularFrame
from simulations import OrnsteinUhlenbeck

TRAP = OrnsteinUhlenbeck(
    drift_matrix=((-1.0, -1.0), (0.5, -0.7)),
    noise_matrix=((1.0, 0.0), (0.5, 0.8)),
    initial_mean=(1.0, -0.5),
    initial_covariance=((0.5, 0.1), (0.1, 0.2)),
)
SPRING = OrnsteinUhlenbeck(drift_matrix=((0.0, 1.0), (-1.0, -0.5)), noise_matrix=((0.0, 0.0), (0.0, 1.0)))
WAVY = GaussianMixture(means=((-1.0, 0.5), (1.0, -0.5), (0.3, 1.5)), width=0.6)
START, LAG, SAMPLES, SHAPES = 0.3, 0.4, 40_000, 4

Score = Callable[[Tensor], Tensor]


class Perturbed(ScoreModel):
    """A known score plus a few fields, whose strengths each sample has for itself; its frame bends with the state."""

    def __init__(self, process: Process, score: Score, samples: int, strength: float = 0.0) -> None:
        super().__init__(process, (0.0, 1.0), components="all" if process is TRAP else "driven")
        self.score = score
        self.strengths = nn.Parameter(torch.full((samples, SHAPES), strength, dtype=torch.float64))

    @property
    def options(self) -> dict[str, object]:
        return {}

    def prepare(self, state: Tensor, time: Tensor) -> Prepared:
        x, y = state.unbind(-1)
        rows = [torch.exp(0.3 * torch.sin(x + y)), torch.zeros_like(x), 0.5 * x, torch.exp(0.2 * torch.cos(x))]
        frame = TriangularFrame.of(torch.stack(rows).reshape(2, 2, -1), self.learned)
        return Prepared(state.unsqueeze(-1), time.unsqueeze(-1), frame)

    def weighted(self, prepared: Prepared) -> Tensor:
        state = prepared.features[..., 0]
        shapes = torch.stack([torch.sin(state), state, state.flip(-1), torch.cos(2 * state.flip(-1))], 1)
        points = len(state) // len(self.strengths)
        strengths = self.strengths.repeat_interleave(points, 0)
        return prepared.frame.weight(self.score(state) + (strengths.unsqueeze(-1) * shapes).sum(1))


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gradient_z(objective: Objective, score: Score, state: Tensor, process: Process = TRAP) -> float:
    """Largest gradient of the mean loss towards a field, in standard errors over groups of samples."""
    start = torch.full((len(state),), START, dtype=torch.float64)
    lag = objective.schedule.lag(start)
    samples = objective.sampler(process)(Batch(state=state, start=start, time=start + lag), seeded(3))
    model = Perturbed(process, score, len(samples))
    loss = objective.loss(model, samples, seeded())
    assert loss.shape == (len(state),)
    (gradient,) = torch.autograd.grad(loss.sum(), model.strengths)
    # Samples whose targets were averaged together are not independent; their groups are.
    groups = gradient.reshape(-1, objective.states_per_time, SHAPES).mean(1)
    return float((groups.mean(0) / groups.std(0) * len(groups) ** 0.5).abs().max())


WEIGHTINGS: dict[str, Weighting] = {
    "own-frame": OwnFrame(),
    "uniform": Uniform(),
    "likelihood": Likelihood(),
    "perceptual": Perceptual(times=(0.0,), scales=((0.5, 2.0),)),
}
IMPLICIT = {
    "exact": lambda w: ImplicitScoreMatching(weighting=w),
    "signs": lambda w: ImplicitScoreMatching(weighting=w, divergence="hutchinson"),
    "normals": lambda w: ImplicitScoreMatching(weighting=w, divergence="hutchinson", probes="gaussian", probe_count=2),
    "slices": lambda w: SlicedScoreMatching(weighting=w, variance_reduction=False, projections="gaussian"),
    "slices whole": lambda w: SlicedScoreMatching(weighting=w, projection_count=2),
}


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("kind", IMPLICIT)
def test_implicit_objectives_are_stationary_at_the_score_of_the_states(kind: str, weighting: str) -> None:
    objective = IMPLICIT[kind](WEIGHTINGS[weighting])
    state = WAVY.sample(SAMPLES, seeded(1))
    assert gradient_z(objective, WAVY.score, state) < 5
    assert gradient_z(objective, lambda y: 0.8 * WAVY.score(y), state) > 5


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("kind", IMPLICIT)
def test_implicit_objectives_of_driven_components_are_stationary_at_their_score(kind: str, weighting: str) -> None:
    objective = IMPLICIT[kind](WEIGHTINGS[weighting])
    state = WAVY.sample(SAMPLES, seeded(1))
    assert gradient_z(objective, WAVY.score, state, SPRING) < 5
    assert gradient_z(objective, lambda y: 0.8 * WAVY.score(y), state, SPRING) > 5


TAILS = TailWeight(locations=(0.2, 0.5), scales=(1.5, 1.0), exponent=1.0)
ALONG_FIELDS = {
    "diffusion": DiffusionScoreMatching(matrix=TAILS),
    "diffusion, sliced": DiffusionScoreMatching(matrix=TAILS, divergence="sliced", variance_reduction=False),
    "tails": GeneralizedSlicedScoreMatching(slicing=dataclasses.replace(TAILS, exponent=-0.5)),
    "quadratic": GeneralizedSlicedScoreMatching(slicing=QuadraticProjection(curvature=0.3), projection_count=2),
    "fourier": GeneralizedSlicedScoreMatching(slicing=RandomFourier(frequency=0.5), variance_reduction=False),
}


@pytest.mark.parametrize("process", [TRAP, SPRING], ids=["all components", "driven components"])
@pytest.mark.parametrize("kind", ALONG_FIELDS)
def test_objectives_along_fields_are_stationary_at_the_score_of_the_states(kind: str, process: Process) -> None:
    state = WAVY.sample(SAMPLES, seeded(1))
    assert gradient_z(ALONG_FIELDS[kind], WAVY.score, state, process) < 5
    assert gradient_z(ALONG_FIELDS[kind], lambda y: 0.8 * WAVY.score(y), state, process) > 5


DENOISING = {
    "local": LocalDenoising(lag=LAG, variance_reduction="none"),
    "local, pairs": LocalDenoising(lag=LAG),
    "local, control variate": LocalDenoising(lag=LAG, variance_reduction="control-variate"),
    "exact": ExactDenoising(lag=LAG),
    "mixture of two": MixtureDenoising(lag=LAG, starts=2),
    "mixture of eight": MixtureDenoising(lag=LAG, starts=8),
}


@pytest.mark.parametrize("kind", DENOISING)
def test_denoising_is_stationary_at_the_score_of_the_later_law(kind: str) -> None:
    early, late = (TRAP.law(torch.tensor(time)) for time in (START, START + LAG))
    state = early.sample(SAMPLES, seeded(1))
    assert gradient_z(DENOISING[kind], late.score, state) < 5
    assert gradient_z(DENOISING[kind], early.score, state) > 5


def test_euler_denoising_is_stationary_at_the_score_of_one_euler_step() -> None:
    early, late = (TRAP.law(torch.tensor(time)) for time in (START, START + LAG))
    step = torch.eye(2, dtype=torch.float64) + LAG * torch.tensor(TRAP.drift_matrix, dtype=torch.float64)
    noise = TRAP.noise(torch.tensor(0.0))
    stepped = Gaussian(mean=step @ early.mean, covariance=step @ early.covariance @ step.T + LAG * noise @ noise.T)
    state = early.sample(SAMPLES, seeded(1))
    assert gradient_z(EulerDenoising(lag=LAG), stepped.score, state) < 5
    assert gradient_z(EulerDenoising(lag=LAG), late.score, state) > 5


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("kind", [kind for kind in IMPLICIT if kind != "exact"])
def test_random_probes_give_the_exact_loss_in_the_mean(kind: str, weighting: str) -> None:
    state, start = WAVY.sample(SAMPLES, seeded(1)), torch.full((SAMPLES,), START, dtype=torch.float64)

    def loss(name: str, weighting: str) -> Tensor:
        objective = IMPLICIT[name](WEIGHTINGS[weighting])
        samples = objective.sampler(TRAP)(Batch(state=state, start=start, time=start), seeded())
        model = Perturbed(TRAP, WAVY.score, SAMPLES, strength=0.3)
        with torch.no_grad():
            return objective.loss(model, samples, seeded())

    def z(difference: Tensor) -> float:
        return float((difference.mean() / difference.std()).abs() * SAMPLES**0.5)

    estimated, exact = loss(kind, weighting), loss("exact", weighting)
    assert z(estimated - exact) < 5
    # A sibling: the loss of another weighting.
    assert z(estimated - loss("exact", "uniform" if weighting == "own-frame" else "own-frame")) > 5


def test_numbers_of_probes_are_at_least_one() -> None:
    with pytest.raises(ValueError, match="`probe_count`"):
        ImplicitScoreMatching(probe_count=0)
    with pytest.raises(ValueError, match="`projection_count`"):
        SlicedScoreMatching(projection_count=0)
    with pytest.raises(ValueError, match="`starts`"):
        MixtureDenoising(starts=0)
