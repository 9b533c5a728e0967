"""Slicings with points of their own, and every field that they draw."""

import dataclasses
import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from physcore.score.slicings import (
    DiffusionMatrix,
    ElementwiseWarp,
    GradientProjection,
    InverseJacobian,
    InverseMetric,
    LinearProjection,
    MatrixFunction,
    QuadraticProjection,
    RandomFourier,
    Slicing,
    SlicingField,
    TailWeight,
)
from physcore.score.slicings.quadratic_projection import QuadraticField
from physcore.score.slicings.random_fourier import FourierField
from physcore.transform import AdditiveLogistic, Affine, Arcsinh, Arctan, Composition, Power, Tanh

PHASES = 4


def waves(state: Tensor) -> Tensor:
    x, y = state.unbind(-1)
    return torch.stack([torch.sin(x + 0.3 * y), x * y, torch.exp(0.4 * y)], -1)


def wave(state: Tensor) -> Tensor:
    return torch.sin(state[..., 0]) * state[..., 1] + state[..., 0]


def matrix(state: Tensor) -> Tensor:
    x, y = state.unbind(-1)
    return torch.stack([1 + x * x, 0.3 * torch.sin(y), 0.2 * x * y, torch.exp(0.3 * y)], -1).reshape(*state.shape, 2)


def metric(state: Tensor) -> Tensor:
    root = matrix(state)
    return root @ root.mT + torch.eye(2, dtype=state.dtype)


CHAIN = Composition(bijections=(Affine(matrix=[[1.0, 0.4], [-0.3, 0.8]]), Tanh(scale=3.0)))
MATRICES: dict[str, DiffusionMatrix] = {
    "linear": LinearProjection(),
    "arcsinh warp": ElementwiseWarp(bijection=Arcsinh(scale=0.8)),
    "decreasing warp": ElementwiseWarp(bijection=Power(exponent=-0.7)),
    "gradient": GradientProjection(function=waves, values=3),
    "gradient of one": GradientProjection(function=wave),
    "inverse of arctan": InverseJacobian(bijection=Arctan(scale=0.9)),
    "inverse of simplex": InverseJacobian(bijection=AdditiveLogistic()),
    "inverse of chain": InverseJacobian(bijection=CHAIN),
    "matrix": MatrixFunction(function=matrix),
    "metric": InverseMetric(metric=metric),
    "heavy tails": TailWeight(locations=(0.3, -0.2), scales=(0.7, 1.5), exponent=1.0),
    "light tails": TailWeight(locations=(0.3, -0.2), scales=(0.7, 1.5), exponent=-0.6),
}
SLICINGS: dict[str, Slicing] = {
    **MATRICES,
    "fourier": RandomFourier(frequency=0.7),
    "quadratic": QuadraticProjection(curvature=0.4),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A slicing in the plane."""

    name: str
    slicing: Slicing

    def points(self, seed: int, number: int) -> Tensor:
        """Return random points where it is defined."""
        state = torch.randn(number, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return state.exp() if self.name == "decreasing warp" else state


@pytest.fixture(scope="session", params=SLICINGS)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param, SLICINGS[request.param])


@pytest.fixture(scope="session", params=MATRICES)
def matrix_case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param, MATRICES[request.param])


@pytest.fixture(scope="session")
def named() -> Callable[[str], Slicing]:
    """Return a slicing by its name here."""
    return SLICINGS.__getitem__


def all_signs(columns: int) -> Tensor:
    return torch.tensor(list(itertools.product((-1.0, 1.0), repeat=columns)), dtype=torch.float64)


def fields(slicing: Slicing, state: Tensor) -> list[SlicingField]:
    if isinstance(slicing, DiffusionMatrix):
        return [slicing.field(signs) for signs in all_signs(slicing.columns(state))]
    if isinstance(slicing, RandomFourier):
        phases = 2 * math.pi * torch.arange(PHASES, dtype=torch.float64) / PHASES
        pairs = itertools.product(all_signs(2), phases)
        return [FourierField(direction=a, phase=b, frequency=slicing.frequency) for a, b in pairs]
    assert isinstance(slicing, QuadraticProjection)
    entries = [torch.stack([torch.stack([s[0], s[2]]), torch.stack([s[2], s[1]])]) for s in all_signs(3)]
    pairs = itertools.product(all_signs(2), entries)
    return [QuadraticField(direction=a, matrix=slicing.form(b)) for a, b in pairs]


@pytest.fixture(scope="session")
def every_field() -> Callable[[Slicing, Tensor], list[SlicingField]]:
    """Return fields of equal weight whose average is that of the law, at points in the plane."""
    return fields
