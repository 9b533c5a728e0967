"""The affine map that a step is on a linear process."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from physcore import Process
from simulations import Scheme

Matrix = NDArray[np.float64]
AffineStep = Callable[[Scheme, Process, float], tuple[Matrix, Matrix, Matrix]]


@pytest.fixture(scope="session")
def affine_step() -> AffineStep:
    """Return propagator, displacement and noise factor of a step at time zero."""

    def affine(scheme: Scheme, process: Process, dt: float) -> tuple[Matrix, Matrix, Matrix]:
        d, r = process.dimension, scheme.normals(process)
        states = torch.cat([torch.zeros(1, d), torch.eye(d), torch.zeros(r, d)]).double()
        normals = torch.cat([torch.zeros(1 + d, r), torch.eye(r)]).double()
        moved = scheme.step(process, states, torch.zeros((), dtype=torch.float64), dt, normals).numpy()
        return (moved[1 : 1 + d] - moved[0]).T, moved[0], (moved[1 + d :] - moved[0]).T

    return affine
