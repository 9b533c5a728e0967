"""Random streams: functions of (seed, stage, path, step) with the moments of white noise."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import simulations.simulation
from physcore.streams import PATHS_PER_STREAM, STEPS_PER_CHUNK, Streams, random_seed, validated_seed

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def normals(seed: int = 1, stage: str = "noise", group: int = 0, chunk: int = 0) -> NDArray[np.floating]:
    return Streams(seed, stage).normals(group, chunk, 2, DOUBLE)


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE], ids=str)
def test_normals_have_shape_dtype_and_repeat_themselves(dtype: np.dtype[np.floating]) -> None:
    first = Streams(5, "noise").normals(3, 4, 2, dtype)
    assert first.shape == (STEPS_PER_CHUNK, 2, PATHS_PER_STREAM)
    assert first.dtype == dtype
    assert np.array_equal(first, Streams(5, "noise").normals(3, 4, 2, dtype))


@pytest.mark.parametrize(
    "other",
    [{"seed": 2}, {"stage": "initial"}, {"group": 1}, {"chunk": 1}, {"seed": 2**64 - 1}, {"group": 2**40}],
    ids=str,
)
def test_another_place_has_other_numbers(other: dict[str, int]) -> None:
    first, second = normals(), normals(**other)
    assert not np.isin(first[0, 0], second).any()
    correlation = (first * second).mean() * np.sqrt(first.size)
    assert abs(correlation) < 5


def test_group_and_chunk_are_not_exchangeable() -> None:
    assert not np.array_equal(normals(group=1, chunk=2), normals(group=2, chunk=1))


def white_noise_z(numbers: NDArray[np.floating]) -> dict[str, float]:
    """Deviations from white noise in standard errors, shape (step, noise, path)."""
    n = numbers.size
    pairs = {
        "between steps": numbers[1:] * numbers[:-1],
        "between paths": numbers[..., 1:] * numbers[..., :-1],
        "between noises": numbers[:, 1:] * numbers[:, :-1],
        "between squares": (numbers[1:] ** 2 - 1) * (numbers[:-1] ** 2 - 1) / 2,
    }
    z = {
        "mean": numbers.mean() * np.sqrt(n),
        "variance": (np.square(numbers).mean() - 1) * np.sqrt(n / 2),
        "skewness": (numbers**3).mean() * np.sqrt(n / 15),
        "kurtosis": ((numbers**4).mean() - 3) * np.sqrt(n / 96),
    }
    return {name: abs(float(v)) for name, v in (z | {k: p.mean() * np.sqrt(p.size) for k, p in pairs.items()}).items()}


def many() -> NDArray[np.floating]:
    groups = [np.concatenate([normals(group=g, chunk=c) for c in range(4)]) for g in range(4)]
    return np.concatenate(groups, -1)


def test_normals_have_the_moments_and_correlations_of_white_noise() -> None:
    z = white_noise_z(many())
    assert max(z.values()) < 5, z


@pytest.mark.parametrize("fault", ["mean", "variance", "between steps", "between paths", "between squares", "kurtosis"])
def test_coloured_or_skewed_noise_is_noticed(fault: str) -> None:
    numbers = many()
    match fault:
        case "mean":
            numbers = numbers + 0.01
        case "variance":
            numbers = numbers * 1.01
        case "between steps":
            numbers = 0.9998 * numbers + 0.02 * np.roll(numbers, 1, 0)
        case "between paths":
            numbers = 0.9998 * numbers + 0.02 * np.roll(numbers, 1, -1)
        case "between squares":
            numbers = numbers * np.sign(np.roll(numbers, 1, 0)) * (1 + 0.02 * np.roll(np.square(numbers), 1, 0))
        case "kurtosis":
            numbers = np.clip(numbers, -3, 3)
    assert white_noise_z(numbers)[fault] > 5


def test_torch_generators_are_functions_of_seed_stage_and_index() -> None:
    def draw(seed: int, stage: str, index: int) -> torch.Tensor:
        return torch.randn(8, generator=Streams(seed, stage).generator(index))

    assert torch.equal(draw(1, "fit", 3), draw(1, "fit", 3))
    others = [draw(1, "fit", 3), draw(2, "fit", 3), draw(1, "initial", 3), draw(1, "fit", 4), draw(1, "fit", 2**31)]
    for i, first in enumerate(others):
        assert not any(torch.equal(first, second) for second in others[i + 1 :])


def test_consecutive_torch_generators_are_uncorrelated() -> None:
    numbers = torch.stack([torch.randn(1000, generator=Streams(1, "fit").generator(i)) for i in range(200)])
    z = (numbers[1:] * numbers[:-1]).mean() * numbers[1:].numel() ** 0.5
    assert abs(z) < 5
    assert abs(numbers.mean() * numbers.numel() ** 0.5) < 5


@pytest.mark.parametrize(
    ("seed", "error"), [(-1, ValueError), (2**64, ValueError), (1.0, TypeError), (True, TypeError)]
)
def test_d8_a_seed_that_is_no_64_bit_integer_is_refused(seed: int, error: type[Exception]) -> None:
    with pytest.raises(error, match="`seed`"):
        validated_seed(seed)
    with pytest.raises(error, match="`seed`"):
        Streams(seed, "noise")


def test_drawn_seeds_are_valid_and_differ() -> None:
    seeds = {validated_seed(random_seed()) for _ in range(20)}
    assert len(seeds) == 20


def test_simulation_settings_know_the_size_of_a_stream() -> None:
    assert simulations.simulation.PATHS_PER_STREAM == PATHS_PER_STREAM
