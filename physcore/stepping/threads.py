"""The threads of a run: they compute what needs neither Python's objects nor its lock, C kernels above all."""

import concurrent.futures
from collections.abc import Callable
from types import TracebackType

import torch

__all__ = ["CALLER_ALONE", "Threads"]


class Threads:
    """Threads that do the same work side by side, each taking what is left of it.

    They outlive a piece of work, and the next one may begin before the last thread has ended the one before. A single
    thread is the caller's own.

    Arguments:
        count: How many; as many as torch uses when None.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = torch.get_num_threads() if count is None else count
        self._pool = concurrent.futures.ThreadPoolExecutor(self.count, "physcore") if self.count > 1 else None

    def begin(self, work: Callable[[], int]) -> Callable[[], int]:
        """Begin some work in every thread; with one thread alone it is done at once.

        Arguments:
            work: Does the work, or what the other threads leave of it, and returns a number.

        Returns:
            What waits for the end and returns the sum of the numbers.
        """
        if self._pool is None:
            number = work()
            return lambda: number
        begun = [self._pool.submit(work) for _ in range(self.count)]
        return lambda: sum(each.result() for each in begun)

    def __enter__(self) -> "Threads":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is being computed, and begin nothing more."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


CALLER_ALONE = Threads(1)
