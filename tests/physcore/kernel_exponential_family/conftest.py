"""A family whose kernels are neither flat nor gone, with numbers of every size."""

import pytest
import torch
from torch import Tensor

from physcore.kernel_exponential_family import DeepKernelExponentialFamily

DIMENSION, CENTRES = 3, 6


def normals(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_family(dimension: int = DIMENSION, centres: int = CENTRES) -> DeepKernelExponentialFamily:
    family = DeepKernelExponentialFamily(
        normals(centres, dimension, seed=1), features=8, generator=torch.Generator().manual_seed(2)
    ).double()
    family.kernels.mixture.data = torch.tensor([0.3, -0.5, 0.1], dtype=torch.float64)
    family.coefficients.copy_(3 * normals(centres, seed=3))
    return family.requires_grad_(False)


@pytest.fixture
def family() -> DeepKernelExponentialFamily:
    return random_family()


@pytest.fixture
def points() -> Tensor:
    return 1.3 * normals(5, DIMENSION, seed=4)
