"""Random vectors of unit covariance, to probe matrices and to project scores."""

from typing import Literal

import torch
from torch import Tensor

__all__ = ["Probes", "drawn_probes"]

Probes = Literal["rademacher", "gaussian", "sphere"]


def drawn_probes(kind: Probes, like: Tensor, generator: torch.Generator) -> Tensor:
    r"""Return random vectors of unit covariance: signs, normals, or directions of length :math:`\sqrt{n}`.

    Arguments:
        kind: Their law.
        like: Gives shape, ``(..., component)``, dtype and device.
        generator: Source of randomness.
    """
    if kind == "rademacher":
        signs = torch.randint(0, 2, like.shape, generator=generator, device=like.device)
        return (2 * signs - 1).to(like.dtype)
    normals = torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    if kind == "gaussian":
        return normals
    return normals * (like.shape[-1] / normals.square().sum(-1, keepdim=True)).sqrt()
