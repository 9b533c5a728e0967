r"""Random numbers as a function of (seed, stage, path, step), and of nothing else.

Paths are drawn in fixed groups of ``PATHS_PER_STREAM`` and steps in fixed chunks of ``STEPS_PER_CHUNK``. Each
(group, chunk) has its own place in the counter of a Philox generator keyed by seed and stage, so that neither the
rank, the block size, the saving interval nor a restart can change a bit of a path.

Source: Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3 (2011).
"""

import dataclasses
import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["PATHS_PER_STREAM", "STEPS_PER_CHUNK", "Streams", "random_seed", "validated_seed"]

PATHS_PER_STREAM = 1024
STEPS_PER_CHUNK = 64
SEED_LIMIT = 2**64


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
        stage: Name of the stage, such as ``"simulate"`` or ``"fit"``; stages are independent.
    """

    seed: int
    stage: str

    def __post_init__(self) -> None:
        validated_seed(self.seed)

    @property
    def _key(self) -> NDArray[np.uint64]:
        digest = hashlib.blake2b(f"{self.seed}/{self.stage}".encode(), digest_size=16).digest()
        return np.frombuffer(digest, dtype=np.uint64)

    def normals(self, group: int, chunk: int, noises: int, dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
        """Return the standard normals that one group of paths takes in one chunk of steps.

        Arguments:
            group: Index of the group of ``PATHS_PER_STREAM`` paths.
            chunk: Index of the chunk of ``STEPS_PER_CHUNK`` steps.
            noises: Number of independent noises a path takes in a step.
            dtype: float32 or float64; the two are different numbers.

        Returns:
            Shape ``(STEPS_PER_CHUNK, noises, PATHS_PER_STREAM)``.
        """
        bits = np.random.Philox(key=self._key, counter=np.array([0, chunk, group, 0], dtype=np.uint64))
        shape = (STEPS_PER_CHUNK, noises, PATHS_PER_STREAM)
        return np.random.Generator(bits).standard_normal(shape, dtype=dtype.type)

    def generator(self, index: int = 0, device: str | torch.device = "cpu") -> torch.Generator:
        """Return a torch generator of its own for each index, for initial states, batches and probes.

        Arguments:
            index: Which generator; up to 2^32 different ones in a stage.
            device: Where it draws.
        """
        # torch seeds its CPU generator from 32 bits: consecutive values keep the indices of a stage apart.
        base = int(self._key[0]) % 2**32
        return torch.Generator(device=device).manual_seed((base + index) % 2**32)
