"""Which device a rank computes on."""

import warnings

import torch

__all__ = ["resolve_device"]


def resolve_device(name: str, rank: int = 0) -> torch.device:
    """Return the device that a name means on this rank.

    Arguments:
        name: ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:0"``.
        rank: Rank of this process among those of its host; they take the GPUs in turn.

    Raises:
        ValueError: If the name is unknown or the GPU is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"`device` must be auto, cpu, cuda or cuda:N; got {name!r}.") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"`device` must be auto, cpu, cuda or cuda:N; got {name!r}.")
    if device.type == "cpu":
        return device
    available = torch.cuda.device_count()
    if available == 0:
        raise ValueError(f"`device` is {name!r} but there is no CUDA device; use --device cpu.")
    if name != "cuda" and device.index >= available:
        raise ValueError(f"`device` is {name!r} but there are {available} CUDA devices.")
    if name == "cuda":
        if rank >= available:
            warnings.warn(f"rank {rank} shares one of {available} CUDA devices", stacklevel=2)
        device = torch.device("cuda", rank % available)
    return device
