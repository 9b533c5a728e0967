"""Stopping on request: a signal sets a flag, and the work stops at its next safe place, saves and says so."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from physcore.errors import Stopped

__all__ = ["StopRequest", "listening"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Whether this process was asked to stop."""

    def __init__(self) -> None:
        self.requested = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal; a second one ends the process at once with the signal's usual exit code."""
        if self.requested:
            os._exit(128 + number)
        self.requested = True

    def check(self, what: str, requested: bool | None = None) -> None:
        """Raise if a stop was requested, here or (``requested``) anywhere.

        Raises:
            Stopped: With the advice to start again.
        """
        if self.requested if requested is None else requested:
            raise Stopped(f"{what} was stopped and saved; run the same command again to continue")


NEVER = StopRequest()


@contextlib.contextmanager
def listening() -> Iterator[StopRequest]:
    """Turn SIGINT, SIGTERM and SIGUSR1 into a request to stop for the time of the block."""
    request = StopRequest()
    before = {number: signal.signal(number, request.handle) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
