r"""Random streams: random numbers as a function of (seed, stage, path, step), and of nothing else.

Each path has a small generator of its own, xoshiro128++, seeded anew at every ``STEPS_PER_SEGMENT`` steps by Philox
from (path, stream, segment) under a key made of seed and stage. Neither rank, thread, block, device, saving interval
nor a restart can change a bit. A path takes its normals in order, two from two draws by Box and Muller's transform;
a path with more than ``NORMALS_PER_STREAM`` normals in a step has a stream for each such number of them.

This module is the specification, in numpy. ``streams.h`` is the same in C, for the compiled kernels of CPU and GPU.
The normals are made in float32 for states of either precision: they have 24 bits, and none lies beyond 6.67.

Sources: Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3 (2011), for Philox4x32-10;
Blackman and Vigna, Scrambled linear pseudorandom number generators (2021), for xoshiro128++; Box and Muller, A note on
the generation of random normal deviates (1958); Kloeden and Platen, Numerical Solution of Stochastic Differential
Equations (1992), section 14.1, for the three-point noise.
"""

import dataclasses
import hashlib
import math

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = [
    "NORMALS_PER_STREAM",
    "STEPS_PER_SEGMENT",
    "Streams",
    "gaussian_pair",
    "random_seed",
    "three_point_pair",
    "validated_seed",
]

STEPS_PER_SEGMENT = 256
NORMALS_PER_STREAM = 64
SEED_LIMIT = 2**64

Bits = NDArray[np.uint32]
Reals = NDArray[np.float32]


def random_seed() -> int:
    """Draw a seed from the operating system, for runs that were given none."""
    return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])


def validated_seed(seed: int) -> int:
    """Return the seed, refusing what is not an integer in [0, 2^64).

    Raises:
        TypeError: If it is no integer.
        ValueError: If it is out of range.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"`seed` must be an integer; got {seed!r}.")
    if not 0 <= int(seed) < SEED_LIMIT:
        raise ValueError(f"`seed` must be at least 0 and below 2^64; got {seed}.")
    return int(seed)


@dataclasses.dataclass(frozen=True)
class Streams:
    """The random streams of one stage of a run.

    Arguments:
        seed: Seed of the run, 0 <= seed < 2^64.
        stage: Name of the stage, such as ``"noise"`` or ``"fit"``; stages are independent.
    """

    seed: int
    stage: str

    def __post_init__(self) -> None:
        validated_seed(self.seed)

    @property
    def key(self) -> int:
        """The 64-bit key that seed and stage make."""
        digest = hashlib.blake2b(f"{self.seed}/{self.stage}".encode(), digest_size=16).digest()
        return int.from_bytes(digest[:8], "little")

    def bits(self, paths: range, segment: int, draws: int, stream: int = 0) -> Bits:
        """Return the first draws of some paths in a segment.

        Arguments:
            paths: Indices of the paths.
            segment: Index of the segment of ``STEPS_PER_SEGMENT`` steps.
            draws: How many draws.
            stream: Index of the stream of a path.

        Returns:
            Uniform 32-bit integers, shape ``(draws, paths)``.
        """
        state = _seeded(self.key, np.arange(paths.start, paths.stop, dtype=np.uint64), stream, segment)
        return np.stack([_next_bits(state) for _ in range(draws)]) if draws else np.empty((0, len(paths)), np.uint32)

    def normals(self, paths: range, steps: range, normals: int, three_point: bool = False) -> Reals:
        """Return the standard normals that some paths take in some steps.

        Arguments:
            paths: Indices of the paths.
            steps: Indices of the steps.
            normals: How many a path takes in a step.
            three_point: Whether to give variables of three values with the first five moments of a normal instead.

        Returns:
            Shape ``(steps, normals, paths)``, float32.
        """
        result = np.empty((len(steps), normals, len(paths)), np.float32)
        for first in range(0, normals, NORMALS_PER_STREAM):
            count, stream = min(NORMALS_PER_STREAM, normals - first), first // NORMALS_PER_STREAM
            for segment in range(steps.start // STEPS_PER_SEGMENT, -(-steps.stop // STEPS_PER_SEGMENT)):
                start = segment * STEPS_PER_SEGMENT
                lower, upper = max(steps.start, start), min(steps.stop, start + STEPS_PER_SEGMENT)
                draws = self.bits(paths, segment, 2 * -(-(upper - start) * count // 2), stream)
                pair = three_point_pair if three_point else gaussian_pair
                together = np.stack(pair(draws[0::2], draws[1::2]), 1).reshape(len(draws), len(paths))
                chosen = together[(lower - start) * count : (upper - start) * count]
                rows = slice(lower - steps.start, upper - steps.start)
                result[rows, first : first + count] = chosen.reshape(-1, count, len(paths))
        return result

    def generator(self, index: int = 0, device: str | torch.device = "cpu") -> torch.Generator:
        """Return a torch generator of its own for each index, for initial states, batches and probes.

        Arguments:
            index: Which generator; up to 2^32 different ones in a stage.
            device: Where it draws.
        """
        # torch seeds its CPU generator from 32 bits: consecutive values keep the indices of a stage apart.
        base = self.key % 2**32
        return torch.Generator(device=device).manual_seed((base + index) % 2**32)


def gaussian_pair(first: Bits, second: Bits) -> tuple[Reals, Reals]:
    """Return two arrays of independent standard normals from two of uniform 32-bit integers."""
    # Odd numbers over 2^32 are never zero.
    uniform = (first | np.uint32(1)).astype(np.float32) * np.float32(2.0**-32)
    radius = np.sqrt(np.float32(-2) * np.log(uniform))
    # An angle in the first quadrant; the last two bits of the second draw pick the quadrant.
    angle = (second.view(np.int32).astype(np.float32) * np.float32(2.0**-31) + np.float32(1)) * np.float32(math.pi / 4)
    one, two = (np.float32(1) - (second & np.uint32(bit)).astype(np.float32) * np.float32(2 / bit) for bit in (1, 2))
    return radius * np.cos(angle) * one, radius * np.sin(angle) * two


def three_point_pair(first: Bits, second: Bits) -> tuple[Reals, Reals]:
    """Return two arrays of variables with P(+-sqrt 3) = 1/6 and P(0) = 2/3 from two of uniform 32-bit integers."""
    sixth, third, root = np.uint32(715827883), np.uint32(1431655765), np.float32(math.sqrt(3))
    one, two = (
        np.where(draws < sixth, root, np.where(draws < third, -root, np.float32(0))) for draws in (first, second)
    )
    return one, two


def _rotated(x: Bits, k: int) -> Bits:
    return (x << np.uint32(k)) | (x >> np.uint32(32 - k))


def _seeded(key: int, paths: NDArray[np.uint64], stream: int, segment: int) -> list[Bits]:
    """Return the states of the generators at the start of a segment: Philox4x32-10 of (path, stream, segment)."""
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    c0, c1 = paths & mask, (paths >> shift) ^ np.uint64(stream << 16)
    c2, c3 = np.full_like(paths, segment & 0xFFFFFFFF), np.full_like(paths, segment >> 32)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1 = (p1 >> shift) ^ c1 ^ np.uint64(k0), p1 & mask
        c2, c3 = (p0 >> shift) ^ c3 ^ np.uint64(k1), p0 & mask
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return [c.astype(np.uint32) for c in (c0, c1, c2, c3)]


def _next_bits(state: list[Bits]) -> Bits:
    """Return the next draw of every generator and move it on: xoshiro128++."""
    result = _rotated(state[0] + state[3], 7) + state[0]
    shifted = state[1] << np.uint32(9)
    state[2] ^= state[0]
    state[3] ^= state[1]
    state[1] ^= state[2]
    state[0] ^= state[3]
    state[2] ^= shifted
    state[3] = _rotated(state[3], 11)
    return result
