"""Ranks that talk by torch.distributed: gloo for what lies on the CPU, NCCL for tensors on GPUs."""

import atexit
import socket
import time
from typing import Any

import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from physcore.communicator import SUMMED, Communicator

__all__ = ["TorchCommunicator", "joined"]

LAST_MESSAGE = 0.2  # seconds


class TorchCommunicator(Communicator):
    """The ranks of torch.distributed's default group.

    Arguments:
        store: The ``torch.distributed.Store`` where the ranks meet; that of ``torchrun`` when None.
        rank: Rank of this process, if a store is given.
        size: Number of ranks, if a store is given.
        group: Some of the ranks of the default group, which is there already; all of them when None.
    """

    def __init__(self, store: Any = None, rank: int = -1, size: int = -1, group: Any = None) -> None:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        if not dist.is_initialized():
            dist.init_process_group(backend, store=store, rank=rank, world_size=size)
            atexit.register(_left)
        self._group = group
        self.rank = dist.get_rank(group)
        self.size = dist.get_world_size(group)
        self._alone: dict[torch.device, bool] = {}

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value on every rank."""
        values = [value]
        source = 0 if self._group is None else dist.get_global_rank(self._group, 0)
        dist.broadcast_object_list(values, src=source, device=torch.device("cpu"), group=self._group)
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks on every rank."""
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self._group)
        return values

    def sum_in_place(self, buffer: NDArray[Any]) -> None:
        """Replace the array by its sum over the ranks."""
        if not buffer.flags.c_contiguous or buffer.dtype not in SUMMED:
            raise TypeError(f"`buffer` must be a contiguous array of 32 or 64 bits; got {buffer.dtype}.")
        dist.all_reduce(torch.from_numpy(buffer), group=self._group)

    def sum_tensor(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over the ranks, where it lies; ranks that share a GPU go through the host."""
        if tensor.is_cuda and not self._apart(tensor.device):
            super().sum_tensor(tensor)
        else:
            dist.all_reduce(tensor, group=self._group)

    def _part(self, part: int) -> Communicator:
        parts = self.gather(part)
        members = {name: [rank for rank, other in enumerate(parts) if other == name] for name in sorted(set(parts))}
        groups = {name: dist.new_group(ranks) for name, ranks in members.items()}  # which every rank must make
        return TorchCommunicator(group=groups[part])

    def _apart(self, device: torch.device) -> bool:
        """Return whether every rank has a GPU of its own, without which NCCL refuses."""
        if device not in self._alone:
            places = self.gather((socket.gethostname(), str(torch.cuda.get_device_properties(device).uuid)))
            self._alone[device] = len(set(places)) == self.size
        return self._alone[device]


def joined(ranks: Communicator) -> TorchCommunicator:
    """Return the same ranks as they talk by torch.distributed.

    Arguments:
        ranks: Ranks that can talk to each other already, such as those of MPI.
    """
    meet: Any = dist.TCPStore  # type: ignore[attr-defined]
    server = meet(socket.gethostname(), 0, ranks.size, True, wait_for_workers=False) if ranks.rank == 0 else None
    host, port = ranks.broadcast(None if server is None else (socket.gethostname(), server.port))
    return TorchCommunicator(server or meet(host, port, ranks.size, False), ranks.rank, ranks.size)


def _left() -> None:
    if dist.is_initialized():
        # A thread of gloo may still let go of the last message's tensors, for which it needs the interpreter; were
        # that about to end, the process would abort. While this one sleeps, the interpreter is the thread's.
        time.sleep(LAST_MESSAGE)
        dist.destroy_process_group()
