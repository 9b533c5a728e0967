"""Who works on what: ranks take the next piece of work that nobody has taken.

A claim is an empty file that only one rank can make. So ranks need not answer each other while they compute, which
balances long and short pieces by itself under any launcher. Who computes a piece changes nothing about its result.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from physcore.communicator import Communicator
from physcore.stopping import StopRequest

__all__ = ["claimed"]

STOPPED = "stopped"


def claimed(pieces: int, folder: Path, ranks: Communicator, stop: StopRequest) -> Iterator[int]:
    """Yield pieces of ``range(pieces)`` that no other ranks have, in increasing order, until none is left.

    Arguments:
        pieces: Number of pieces.
        folder: An existing folder of this attempt alone, the same for all.
        ranks: Ranks that work together on each piece.
        stop: Asked before each piece; a stop of one rank is one of all.
    """
    following = 0
    while True:
        if ranks.any(stop.requested) and ranks.rank == 0:
            (folder / STOPPED).touch()
        found = next((i for i in range(following, pieces) if _taken(folder, i)), None) if ranks.rank == 0 else None
        piece: int | None = ranks.broadcast(found)
        if piece is None:
            return
        yield piece
        following = piece + 1


def _taken(folder: Path, piece: int) -> bool:
    """Return whether a piece is now ours."""
    if (folder / STOPPED).exists():
        return False
    try:
        os.close(os.open(folder / str(piece), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True
