"""Random maps with random points, the same for every test of changes of variables."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from physcore.transform import (
    AdditiveLogistic,
    Affine,
    Arcsinh,
    Arctan,
    Bijection,
    Composition,
    Inverted,
    Polar,
    Power,
    Selected,
    Tanh,
)

Case = tuple[Bijection, Tensor]


class Shear(Bijection):
    """A map that gives nothing but the three methods it must: x + a sin of the component before."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def forward(self, state: Tensor) -> Tensor:
        return torch.cat([state[..., :1], state[..., 1:] + self.strength * torch.sin(state[..., :-1])], -1)

    def inverse(self, state: Tensor) -> Tensor:
        found = [state[..., :1]]
        for k in range(1, state.shape[-1]):
            found.append(state[..., k : k + 1] - self.strength * torch.sin(found[-1]))
        return torch.cat(found, -1)

    def log_determinant(self, state: Tensor) -> Tensor:
        return torch.zeros_like(state[..., 0])


def random_affine(d: int, generator: torch.Generator) -> Affine:
    noise = torch.randn(d, d, generator=generator, dtype=torch.float64) / d**0.5
    shift = torch.randn(d, generator=generator, dtype=torch.float64)
    return Affine(matrix=(0.4 * noise + torch.eye(d, dtype=torch.float64)).tolist(), shift=shift.tolist())


def turning_frame() -> Composition:
    """Return a position seen from a frame that turns with a heading, the third component, by polar coordinates."""
    away = Affine(matrix=((1.0, 0.0, 0.0), (0.0, 1.0, -1.0), (0.0, 0.0, 1.0)))
    position = {"components": (0, 1)}
    return Composition(
        bijections=(
            Selected(bijection=Polar(), **position),
            away,
            Selected(bijection=Inverted(bijection=Polar()), **position),
        )
    )


def build(kind: str, seed: int, points: int = 6) -> Case:
    """Return a random map of a kind, and points of its domain that it maps to points at a distance of order 1."""
    generator = torch.Generator().manual_seed(seed)
    d = 2 + seed % 3
    scale = 0.7 + float(torch.rand((), generator=generator))
    d = 2 if "polar" in kind else 3 if "turning" in kind else d
    state = 0.7 * torch.randn(points, d, generator=generator, dtype=torch.float64)
    affine = random_affine(d, generator)
    chain = Composition(bijections=(Arcsinh(scale=scale), affine, Tanh(scale=6 * scale)))
    maps: dict[str, Bijection] = {
        "identity": Composition(),
        "affine": affine,
        "tanh": Tanh(scale=scale),
        "arcsinh": Arcsinh(scale=scale),
        "arctan": Arctan(scale=scale),
        "simplex": AdditiveLogistic(),
        "polar": Polar(),
        "shear": Shear(scale),
        "selected": Selected(bijection=Polar(), components=(d - 1, 0)),
        "turning": turning_frame(),
        "chain": chain,
        "chain-to-the-simplex": Composition(bijections=(affine, Shear(scale), AdditiveLogistic())),
    }
    if kind.startswith("power"):
        return Power(exponent=scale if kind == "power" else -1 - scale), state.exp()
    name = kind.removesuffix("-inverted")
    bijection = maps[name]
    if name == kind:
        return bijection, state
    return Inverted(bijection=bijection), bijection.forward(state).detach()


KINDS = (
    "identity", "affine", "tanh", "arcsinh", "arctan", "power", "power-negative", "simplex", "polar", "shear", "chain",
    "chain-to-the-simplex", "selected", "turning", "selected-inverted",
    "affine-inverted", "tanh-inverted", "simplex-inverted", "polar-inverted", "shear-inverted",
    "chain-inverted",
)  # fmt: skip


@pytest.fixture(scope="session", params=KINDS)
def case(request: pytest.FixtureRequest) -> Case:
    return build(request.param, seed=7)


@pytest.fixture(scope="session")
def random_case() -> Callable[[str, int], Case]:
    """Make a random map of a kind, from a seed."""
    return build


@pytest.fixture(scope="session", name="random_affine")
def affine_maker() -> Callable[[int, int], Affine]:
    """Make a random affine map of a dimension, from a seed."""
    return lambda dimension, seed: random_affine(dimension, torch.Generator().manual_seed(seed))
