"""What the tests of the analysis share: ranks that are threads."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from numpy.typing import NDArray

from physcore.communicator import Communicator


def _in_ranks(size: int, work: Callable[[Communicator], Any]) -> list[Any]:
    """Run the same work on some ranks, which are threads that exchange through a list."""
    barrier, shared, results = threading.Barrier(size, timeout=600), [None] * size, [None] * size

    class Threads(Communicator):
        def __init__(self, rank: int) -> None:
            self.rank, self.size = rank, size

        def gather(self, value: Any) -> list[Any]:
            shared[self.rank] = value
            barrier.wait()
            together = list(shared)
            barrier.wait()
            return together

        def broadcast(self, value: Any) -> Any:
            return self.gather(value)[0]

        def sum_in_place(self, buffer: NDArray[Any]) -> None:
            buffer[...] = sum(self.gather(buffer.copy()))

        def _part(self, part: int) -> Communicator:
            raise NotImplementedError

    def run(rank: int) -> None:
        results[rank] = work(Threads(rank))

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture(scope="session")
def in_ranks() -> Callable[[int, Callable[[Communicator], Any]], list[Any]]:
    """Return what does the same work on some ranks, from their number and a function of a communicator."""
    return _in_ranks
