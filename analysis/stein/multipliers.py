r"""Signs that a wild bootstrap multiplies samples with.

.. math:: V^* = \frac1{n^2} \sum_{ij} W_i W_j\,u(x_i, x_j)

has, given the samples, the law that the discrepancy has where the score is right. For independent samples the signs
are independent. Along a path they persist: a sign is flipped after a time :math:`\tau` with the probability
:math:`(1 - e^{-\tau / \mu}) / 2`, so that :math:`E[W_t W_{t + \tau}] = e^{-\tau / \mu}`, and the memory :math:`\mu`
must be long against the correlation of the samples and short against the whole.

A sign is a function of seed, replicate, path and frame, whatever else is drawn.

Source: Chwialkowski, Strathmann and Gretton, A kernel test of goodness of fit (2016), section 4; Leucht and Neumann,
Dependent wild bootstrap for degenerate U- and V-statistics (2013).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from physcore.streams import Streams

__all__ = ["independent_signs", "persistent_signs"]

BITS = 32


def independent_signs(seed: int, replicates: int, paths: int) -> Tensor:
    """Return independent signs.

    Arguments:
        seed: Seed.
        replicates: How many sets.
        paths: How many samples.

    Returns:
        Shape ``(replicates, paths)``, int8; the signs of a path do not depend on how many there are.
    """
    draws = Streams(seed, "stein").bits(range(paths), 0, -(-replicates // BITS))
    bits = (draws[:, None, :] >> np.arange(BITS, dtype=np.uint32)[None, :, None]) & np.uint32(1)
    flat = bits.reshape(-1, paths)[:replicates].astype(np.int8)
    return torch.from_numpy(2 * flat - 1)


def persistent_signs(seed: int, replicates: int, paths: int, times: NDArray[np.float64], memory: float) -> Tensor:
    """Return signs that persist along paths.

    Arguments:
        seed: Seed.
        replicates: How many sets.
        paths: How many paths, independent of each other.
        times: Times of the frames, increasing, shape ``(frame,)``.
        memory: Time over which the correlation of signs falls to 1 / e; independent ones where 0.

    Returns:
        Shape ``(replicates, paths * frames)``, int8, the frames of a path one after the other.
    """
    streams = Streams(seed, "stein-paths")
    lost = np.ones(len(times) - 1) if memory == 0 else -np.expm1(-np.diff(times) / memory)
    limits = np.concatenate([[0.5], 0.5 * lost]) * 2.0**BITS
    signs = np.empty((replicates, paths, len(times)), np.int8)
    for path in range(paths):
        draws = streams.bits(range(replicates), path, len(times))
        flips = np.where(draws < limits[:, None], -1, 1).astype(np.int8)
        signs[:, path] = np.multiply.accumulate(flips, 0).T
    return torch.from_numpy(signs.reshape(replicates, -1))
