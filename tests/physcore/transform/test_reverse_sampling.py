"""Sampling on the simplex with the score known before the map."""

import importlib.util
from pathlib import Path

import pytest
import torch

from physcore.errors import NumericalError
from physcore.transform import AdditiveLogistic, Composition, TransformedProcess, sample_reverse
from simulations import OrnsteinUhlenbeck

_place = importlib.util.spec_from_file_location(
    "simplex_sampling", Path(__file__).parents[2] / "benchmarks" / "simplex_sampling.py"
)
assert _place is not None
assert _place.loader is not None
simplex = importlib.util.module_from_spec(_place)
_place.loader.exec_module(simplex)

PATHS, STEPS = 2000, 250
LARGEST_DISTANCE = 2e-3  # noise 3e-4, error of the steps 5e-4

TRAP = OrnsteinUhlenbeck(drift_matrix=((-1.0, 0.0), (0.0, -1.0)), noise_matrix=((1.0, 0.0), (0.0, 1.0)))
ON_SIMPLEX = TransformedProcess(process=TRAP, bijection=AdditiveLogistic())


def stationary_score(state: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    return -2 * state


@pytest.mark.parametrize(("way", "good"), [("lemma", True), ("wrong sign", False), ("no Ito term", False)])
def test_the_lemma_brings_the_law_back_and_its_ablations_do_not(way: str, good: bool) -> None:
    samples = simplex.sampled(way, STEPS, PATHS, seed=11)
    distance = simplex.energy_distance(samples.state, simplex.true_samples(PATHS, seed=12))
    assert (distance < LARGEST_DISTANCE) == good
    if good:
        assert samples.outside < 1e-3


def test_samples_are_a_function_of_the_generator_and_keep_their_dtype() -> None:
    start = AdditiveLogistic().forward(torch.zeros(10, 2))
    times = [1.0, 0.9, 0.7]
    first, second = (
        sample_reverse(ON_SIMPLEX, stationary_score, start, times, torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(first.state, second.state)
    assert first.state.dtype == torch.float32
    assert first.outside == 0.0


def test_before_the_map_the_reversed_trap_keeps_its_stationary_law() -> None:
    """The reversal of a stationary process is the process itself, under Euler-Maruyama with its known variance."""
    process = TransformedProcess(process=TRAP, bijection=Composition())
    generator, step = torch.Generator().manual_seed(5), 0.05
    variance = 0.5 / (1 - 0.5 * step)
    start = variance**0.5 * torch.randn(20_000, 2, generator=generator, dtype=torch.float64)
    times = [float(time) for time in torch.arange(20, -1, -1, dtype=torch.float64) * step]
    end = sample_reverse(process, stationary_score, start, times, generator).state
    error = variance * (2 / end.numel()) ** 0.5
    assert abs(end.square().mean() - variance) < 5 * error
    assert abs(end.square().mean() - 1.1 * variance) > 5 * error


def test_d7_what_cannot_be_sampled_is_refused() -> None:
    start, generator = torch.full((4, 2), 0.3), torch.Generator().manual_seed(1)
    for times in ([0.5], [0.5, 0.6], [0.5, float("nan")]):
        with pytest.raises(ValueError, match="`times` must decrease"):
            sample_reverse(ON_SIMPLEX, stationary_score, start, times, generator)
    with pytest.raises(ValueError, match="sum below 1"):
        sample_reverse(ON_SIMPLEX, stationary_score, start + 1, [1.0, 0.5], generator)
    with pytest.raises(NumericalError, match=r"path .* between time 100 and time 1;"):
        sample_reverse(ON_SIMPLEX, stationary_score, start, [100.0, 1.0], generator)
