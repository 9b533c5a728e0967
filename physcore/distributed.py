"""Ranks that talk by torch.distributed: gloo for what lies on the CPU, NCCL for tensors on GPUs."""

import atexit
import socket
from typing import Any

import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from physcore.communicator import SUMMED, Communicator

__all__ = ["TorchCommunicator", "joined"]


class TorchCommunicator(Communicator):
    """The ranks of torch.distributed's default group.

    Arguments:
        store: The ``torch.distributed.Store`` where the ranks meet; that of ``torchrun`` when None.
        rank: Rank of this process, if a store is given.
        size: Number of ranks, if a store is given.
    """

    def __init__(self, store: Any = None, rank: int = -1, size: int = -1) -> None:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        if not dist.is_initialized():
            dist.init_process_group(backend, store=store, rank=rank, world_size=size)
            atexit.register(_left)
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        self._alone: dict[torch.device, bool] = {}

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value on every rank."""
        values = [value]
        dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks on every rank."""
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def sum_in_place(self, buffer: NDArray[Any]) -> None:
        """Replace the array by its sum over the ranks."""
        if not buffer.flags.c_contiguous or buffer.dtype not in SUMMED:
            raise TypeError(f"`buffer` must be a contiguous array of 32 or 64 bits; got {buffer.dtype}.")
        dist.all_reduce(torch.from_numpy(buffer))

    def sum_tensor(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over the ranks, where it lies; ranks that share a GPU go through the host."""
        if tensor.is_cuda and not self._apart(tensor.device):
            super().sum_tensor(tensor)
        else:
            dist.all_reduce(tensor)

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
        dist.destroy_process_group()
