"""How the ranks of a run talk to each other: one contract, a serial answer, MPI and torch.distributed.

Ranks share fixed work (blocks of paths, slices of a batch), reduce float64 sufficient statistics and return the
same result everywhere. mpi4py is imported here alone, and only under a launcher, so that a laptop needs no MPI.
``mpiexec`` starts ranks of MPI, ``torchrun`` ranks of torch.distributed; either sums tensors on GPUs by NCCL.
"""

import abc
import os
import platform
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Communicator", "SerialCommunicator", "world"]

# Variables by which MPICH, Open MPI and SLURM tell a process how many were started together.
LAUNCHER_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_NUM_TASKS")
LAUNCHER_RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
# Those by which torchrun does; all of them must be there.
TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

LONGEST_SLEEP = 0.002  # seconds between looks, a tenth of the time waited so far before
SHORTEST_SLEEP = 0.00002
SUMMED = (np.float32, np.float64, np.int32, np.int64)

Made = TypeVar("Made")


class Communicator(abc.ABC):
    """The ranks of a run.

    Attributes:
        rank: Index of this rank, 0 <= rank < size.
        size: Number of ranks.
    """

    rank: int
    size: int
    _place: int | None = None  # among the ranks of the host, of a part that was split off

    @abc.abstractmethod
    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value, a plain Python object, on every rank."""

    @abc.abstractmethod
    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in the order of ranks, on every rank."""

    @abc.abstractmethod
    def sum_in_place(self, buffer: NDArray[Any]) -> None:
        """Replace a contiguous array, float or integer of 32 or 64 bits, by its sum over the ranks."""

    @abc.abstractmethod
    def _part(self, part: int) -> "Communicator":
        """Return the communicator of the ranks that name the same part."""

    def split(self, part: int) -> "Communicator":
        """Return the communicator of those ranks that name the same part, in their order; every rank must ask.

        Arguments:
            part: Which part this rank belongs to, at least 0.
        """
        place = self.rank_on_host()
        split = self._part(part)
        split._place = place
        return split

    def sum_tensor(self, tensor: "Tensor") -> None:
        """Replace a contiguous tensor of any device by its sum over the ranks."""
        host = tensor.cpu()
        self.sum_in_place(host.numpy())
        if host is not tensor:
            tensor.copy_(host)

    def rank_on_host(self) -> int:
        """Return the index of this rank among those of its host; every rank must ask at the same time.

        Of a part that was split off it is the index among all ranks of the host: each has a GPU of its own.
        """
        if self._place is not None:
            return self._place
        host = platform.node()
        return self.gather(host)[: self.rank].count(host)

    def share(self, items: int) -> Iterator[int]:
        """Yield this rank's part of ``range(items)``: every size-th item from its rank on."""
        return iter(range(self.rank, items, self.size))

    def map(self, work: Callable[[int], Made], items: int) -> list[Made]:
        """Return what a work makes of each of ``range(items)``, in their order, on every rank; the ranks share them.

        Arguments:
            work: The work, which makes the same of an item on whatever rank, a plain Python object.
            items: Number of items.
        """
        mine = {item: work(item) for item in self.share(items)}
        self.barrier()  # asleep; who gathers spins while others still work, and slows them
        together = {item: made for part in self.gather(mine) for item, made in part.items()}
        return [together[item] for item in range(items)]

    def once(self, work: Callable[[], Made]) -> Made:
        """Return what rank 0 makes, a plain Python object, on every rank; the others wait asleep."""
        made = work() if self.rank == 0 else None
        self.barrier()
        return cast(Made, self.broadcast(made))

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set on any rank."""
        return any(self.gather(flag))

    def barrier(self) -> None:
        """Wait until every rank has come here."""
        self.gather(None)

    def agree(self, error: BaseException | None, what: str) -> None:
        """Raise on every rank if any rank failed: its own error on that rank, a report of it on the others.

        Arguments:
            error: What this rank caught, None if it went well.
            what: The work in words, for the report.
        """
        reports = self.gather(None if error is None else f"{type(error).__name__}: {error}")
        if error is not None:
            raise error
        for rank, report in enumerate(reports):
            if report is not None:
                raise RuntimeError(f"{what} failed on rank {rank}: {report}")


class SerialCommunicator(Communicator):
    """A single rank: every exchange returns what it was given."""

    rank = 0
    size = 1

    def broadcast(self, value: Any) -> Any:
        """Return the value."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """Return a list of the one value."""
        return [value]

    def sum_in_place(self, buffer: NDArray[Any]) -> None:
        """Leave the array as it is."""

    def _part(self, part: int) -> Communicator:
        return SerialCommunicator()


class MPICommunicator(Communicator):
    """The ranks of an mpi4py communicator."""

    def __init__(self, communicator: Any) -> None:
        self._mpi = communicator
        self._devices: Communicator | None = None
        self.rank = communicator.Get_rank()
        self.size = communicator.Get_size()

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value on every rank."""
        return self._mpi.bcast(value, root=0)

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks on every rank."""
        values: list[Any] = self._mpi.allgather(value)
        return values

    def sum_in_place(self, buffer: NDArray[Any]) -> None:
        """Replace the array by its sum over the ranks."""
        if not buffer.flags.c_contiguous or buffer.dtype not in SUMMED:
            raise TypeError(f"`buffer` must be a contiguous array of 32 or 64 bits; got {buffer.dtype}.")
        from mpi4py import MPI

        self._mpi.Allreduce(MPI.IN_PLACE, buffer)

    def sum_tensor(self, tensor: "Tensor") -> None:
        """Replace a tensor by its sum over the ranks, on GPUs without a way through the host."""
        if not tensor.is_cuda:
            super().sum_tensor(tensor)
            return
        if self._devices is None:
            from physcore.distributed import joined

            self._devices = joined(self)
        self._devices.sum_tensor(tensor)

    def _part(self, part: int) -> Communicator:
        return MPICommunicator(self._mpi.Split(part, self.rank))

    def barrier(self) -> None:
        """Wait until every rank has come here, asleep: a rank that spins would slow the one it waits for."""
        arrived, began = self._mpi.Ibarrier(), time.perf_counter()
        while not arrived.Test():
            waited = time.perf_counter() - began
            time.sleep(min(max(SHORTEST_SLEEP, 0.1 * waited), LONGEST_SLEEP))


def launched_ranks() -> int:
    """Return how many ranks the launcher says it started, 1 without a launcher."""
    if torchrun_ranks() > 1:
        return torchrun_ranks()
    return max((int(os.environ[name]) for name in LAUNCHER_SIZES if os.environ.get(name, "").isdigit()), default=1)


def launched_rank() -> int | None:
    """Return the rank that the launcher says this is, None without a launcher of several."""
    if launched_ranks() == 1:
        return None
    return next((int(os.environ[name]) for name in LAUNCHER_RANKS if os.environ.get(name, "").isdigit()), None)


def torchrun_ranks() -> int:
    """Return how many ranks torchrun started, 1 if it did not."""
    there = all(os.environ.get(name) for name in TORCHRUN) and os.environ["WORLD_SIZE"].isdigit()
    return int(os.environ["WORLD_SIZE"]) if there else 1


def world() -> Communicator:
    """Return the communicator of all ranks that were started together, serial without a launcher.

    Raises:
        ValueError: If a launcher started several ranks but MPI is missing or belongs to another launcher; every
            process would then believe itself alone and write the same files.
    """
    ranks = launched_ranks()
    if ranks == 1:
        return SerialCommunicator()
    if torchrun_ranks() > 1:
        from physcore.distributed import TorchCommunicator

        return TorchCommunicator()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # mpi4py without libmpi raises RuntimeError
        raise ValueError(
            f"{ranks} ranks were started but MPI cannot be loaded ({str(error).splitlines()[0]}). "
            'Install it with: pip install "physcore[mpi]"'
        ) from error
    if MPI.COMM_WORLD.Get_size() == 1:
        raise ValueError(
            f"The launcher started {ranks} processes but mpi4py sees one: its MPI is not the launcher's. "
            "Use the mpiexec that was installed beside mpi4py."
        )
    return MPICommunicator(MPI.COMM_WORLD)


def abort_all(status: int) -> None:
    """Make this rank's exit end the whole job with a status; without it the others would wait for ever.

    Arguments:
        status: Exit status of the job.
    """
    if launched_ranks() > 1 and torchrun_ranks() == 1:  # torchrun ends the others itself when one fails
        try:
            from mpi4py.run import set_abort_status
        except ImportError:
            return
        set_abort_status(status)
