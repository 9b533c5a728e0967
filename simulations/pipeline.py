"""Segments in turn: each is handed on while the next one is being computed."""

import collections
from collections.abc import Callable, Iterable, Iterator

from torch import Tensor

from simulations.block import BlockSimulator, copied

__all__ = ["computed"]

Task = tuple[int, int]


def computed(
    simulator: BlockSimulator,
    tasks: Iterable[Task],
    place: Callable[[int, int], Tensor] | None = None,
    last_states: Callable[[int, int], Tensor] | None = None,
) -> Iterator[tuple[int, int, Tensor]]:
    """Compute segments one after another.

    Initial states are drawn by the caller's thread, while the threads of the simulator compute the segment before.

    Arguments:
        simulator: What computes them.
        tasks: Blocks and segments, the segments of a block in order; asked for one at a time.
        place: Where to store the frames of a segment; anywhere when None.
        last_states: What a segment that is not among the tasks ends with, shape ``(component, path)``.

    Yields:
        Block, segment and frames, shape ``(component, frame, path)``.

    Raises:
        NumericalError: If a path diverges.
    """
    begun: collections.deque[tuple[Task, Callable[[], Tensor]]] = collections.deque()
    # A thread alone computes a segment when it begins it: there is nothing to look ahead for.
    ahead = 0 if simulator.threads.count == 1 else 1
    for block, segment in tasks:
        previous, before = (block, segment - 1), None
        follows = any(task == previous for task, _ in begun)
        while len(begun) > (0 if follows else ahead):
            done, wait = begun.popleft()
            frames = wait()
            if done == previous:
                before = copied(frames[:, -1])
            yield *done, frames
        if segment > 0 and before is None and last_states is not None:
            before = last_states(*previous)
        begun.append(((block, segment), simulator.begin(block, segment, before, place and place(block, segment))))
    while begun:
        done, wait = begun.popleft()
        yield *done, wait()
