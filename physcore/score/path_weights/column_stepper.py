"""Stepping columns of numbers that go with a path, such as its state and its weights, fused where they can be."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from physcore.stepping import Stepper, Stepping, stepper_for
from physcore.streams import Streams

__all__ = ["ColumnStepper"]

PATH_INDICES = 2**44


class ColumnStepper:
    """A step of columns, with a stepper for each precision and device.

    Arguments:
        step: From columns ``(path, entry)``, time and normals ``(path, normal)`` to the columns a step later.
        normals: Number of normals a path takes in a step.
    """

    def __init__(self, step: Callable[[Tensor, Tensor, Tensor], Tensor], normals: int) -> None:
        self.step, self.normals = step, normals
        self._steppers: dict[tuple[torch.dtype, torch.device], Stepper] = {}

    def frames(self, rows: Sequence[Tensor], saved: Sequence[int], index: int = 0, first: int = 0) -> Tensor:
        """Return the columns at some steps, shape ``(entry, frame, path)``.

        Arguments:
            rows: The columns at the first step, shape ``(entry, path)``, or ``(entry, 1)`` after the first.
            saved: The steps wanted, increasing.
            index: Index of the first path among all there are.
            first: The first step.
        """
        paths = rows[0].shape[-1]
        start = torch.cat([row.expand(row.shape[0], paths) for row in rows]).contiguous()
        frames = start.new_empty(len(start), len(saved), paths)
        if paths:
            self._stepper(start).advance(start, frames, np.array(saved, np.int64), index, first)
        return frames

    @staticmethod
    def new_index(generator: torch.Generator, device: torch.device) -> int:
        """Return where a batch begins among paths: streams are the same for all batches, paths are its own."""
        return int(torch.randint(PATH_INDICES, (), generator=generator, device=device))

    def _stepper(self, start: Tensor) -> Stepper:
        key = (start.dtype, start.device)
        if key not in self._steppers:
            stepping = Stepping(
                step=self.step,
                components=len(start),
                normals=self.normals,
                dt=0.0,
                start=0.0,
                dtype=start.dtype,
                three_point=False,
                streams=Streams(0, "path weights"),
                device=start.device,
            )
            self._steppers[key] = stepper_for(stepping, start)
        return self._steppers[key]
