"""Random streams: functions of (seed, stage, path, step) with the moments of white noise."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from physcore.streams import Streams, gaussian_pair, random_seed, three_point_pair, validated_seed


def normals(seed: int = 1, stage: str = "noise", path: int = 0, step: int = 0, count: int = 2) -> NDArray[np.floating]:
    return Streams(seed, stage).normals(range(path, path + 512), range(step, step + 64), count).astype(float)


def test_normals_have_shape_and_dtype_and_repeat_themselves() -> None:
    first = Streams(5, "noise").normals(range(3, 10), range(250, 261), 3)
    assert first.shape == (11, 3, 7)
    assert first.dtype == np.float32
    assert np.array_equal(first, Streams(5, "noise").normals(range(3, 10), range(250, 261), 3))


@pytest.mark.parametrize("three_point", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 64, 65, 130])
def test_numbers_do_not_depend_on_what_is_asked_for_together(count: int, three_point: bool) -> None:
    streams = Streams(5, "noise")
    whole = streams.normals(range(2, 6), range(300), count, three_point)
    for first, last in ((0, 1), (1, 2), (255, 257), (101, 290)):
        part = streams.normals(range(3, 5), range(first, last), count, three_point)
        assert np.array_equal(part, whole[first:last, :, 1:3])


@pytest.mark.parametrize(
    "other",
    [
        *({"seed": 2}, {"stage": "initial"}, {"path": 512}, {"step": 64}, {"step": 256}, {"step": 2**41}),
        *({"seed": 2**64 - 1}, {"path": 2**32}, {"path": 2**40}),
    ],
    ids=str,
)
def test_another_place_has_other_numbers(other: dict[str, int]) -> None:
    first, second = normals(), normals(**other)
    assert np.isin(first[0, 0], second).mean() < 0.02
    correlation = (first * second).mean() * np.sqrt(first.size)
    assert abs(correlation) < 5


def test_path_and_segment_and_stream_are_not_exchangeable() -> None:
    streams = Streams(1, "noise")
    places = [(1, 2, 0), (2, 1, 0), (1, 0, 2), (2, 0, 1), (0, 1, 2), (0, 2, 1)]
    draws = [streams.bits(range(path, path + 1), segment, 8, stream) for path, segment, stream in places]
    assert len({part.tobytes() for part in draws}) == len(places)


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 in plain integers, from the paper's description."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 % 2**32, p0 >> 32 ^ c[3] ^ k[1], p0 % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def test_the_block_cipher_gives_its_published_answers() -> None:
    # Known answers of the Random123 distribution.
    assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


def test_bits_are_those_of_the_generators_written_out_in_integers() -> None:
    streams, path, segment, stream = Streams(3, "noise"), 2**33 + 5, 2**34 + 7, 2
    counter = [path % 2**32, path >> 32 ^ stream << 16, segment % 2**32, segment >> 32]
    s = philox(counter, [streams.key % 2**32, streams.key >> 32])

    def rotated(x: int, k: int) -> int:
        return (x << k | x >> 32 - k) % 2**32

    expected = []
    for _ in range(20):
        expected.append((rotated((s[0] + s[3]) % 2**32, 7) + s[0]) % 2**32)
        t = s[1] << 9 & 0xFFFFFFFF
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotated(s[3], 11)
    assert streams.bits(range(path, path + 1), segment, 20, stream)[:, 0].tolist() == expected


def test_extreme_bits_give_finite_normals() -> None:
    edge = np.array([0, 1, 2**31 - 1, 2**31, 2**32 - 1], np.uint32)
    for first in edge:
        for pair in (gaussian_pair, three_point_pair):
            values = np.stack(pair(np.full(5, first), edge))
            assert np.isfinite(values).all()
            assert np.abs(values).max() < 6.67


def test_three_point_noise_has_the_first_five_moments_of_a_normal() -> None:
    draws = Streams(2, "noise").normals(range(2000), range(100), 2, three_point=True).astype(float)
    assert set(np.unique(draws)) == {-np.float32(np.sqrt(3)), 0.0, np.float32(np.sqrt(3))}
    for power, moment in enumerate((0, 1, 0, 3, 0), start=1):
        values = draws**power
        assert abs(values.mean() - moment) < 5 * values.std() / np.sqrt(draws.size), f"moment {power}"


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
    return Streams(1, "noise").normals(range(4096), range(192, 448), 2).astype(float)


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
