"""Kernels over threads: a batch in parts, each by one call that lets go of Python's lock."""

import concurrent.futures
from collections.abc import Callable

import torch

__all__ = ["over_threads"]

PARTS_PER_THREAD = 4


def over_threads(part: Callable[[int, int], int], batch: int, grain: int) -> int:
    """Call a function for all parts of a batch, with as many threads as torch uses, and return its sum.

    Arguments:
        part: Does the samples from its first argument to its second, exclusive.
        batch: Number of samples.
        grain: Parts begin at multiples of this many samples; a batch no larger is one part.
    """
    workers = torch.get_num_threads()
    if workers == 1 or batch <= grain:
        return part(0, batch)
    # Some parts for each thread, so that none waits long for another.
    share = -(-batch // (PARTS_PER_THREAD * workers * grain)) * grain
    edges = list(range(0, batch, share))
    with concurrent.futures.ThreadPoolExecutor(workers) as threads:
        return sum(threads.map(part, edges, [*edges[1:], batch]))
