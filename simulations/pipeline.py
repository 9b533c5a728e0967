"""Segments in turn: each is handed on while the next one is being computed."""

import collections
from collections.abc import Callable, Iterable, Iterator

from torch import Tensor

from simulations.block import BlockSimulator, copied

__all__ = ["Task", "computed"]

Task = tuple[int, int]


def _unknown(block: int, segment: int) -> Tensor:
    raise ValueError(f"segment {segment} of block {block} must be among the tasks.")


def computed(
    simulator: BlockSimulator,
    tasks: Iterable[Task],
    place: Callable[[int, int], Tensor] | None = None,
    last_states: Callable[[int, int], Tensor] = _unknown,
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
        previous = (block, segment - 1)
        follows = any(task == previous for task, _ in begun)
        # Before frames are handed on: who receives them may be busy in Python for a while, and so slow this down.
        start = simulator.initial(block) if segment == 0 else None
        while len(begun) > (0 if follows else ahead):
            done, wait = begun.popleft()
            frames = wait()
            if done == previous:
                start = copied(frames[:, -1])
            yield *done, frames
        if start is None:
            start = last_states(*previous)
        begun.append(((block, segment), simulator.begin(block, segment, start, place and place(block, segment))))
    while begun:
        done, wait = begun.popleft()
        yield *done, wait()
