"""Random maps and laws for the equivalences between a discrepancy with a field and one after a map."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from physcore.mixture import GaussianMixture
from physcore.transform import Affine, Arcsinh, Arctan, Bijection, Composition, Polar, Power, Tanh, flow_bijection

Case = tuple[Bijection, Tensor, GaussianMixture, GaussianMixture]
KINDS = ("affine", "tanh", "arcsinh", "arctan", "power", "polar", "chain", "flow")


def random_law(dimension: int, generator: torch.Generator) -> GaussianMixture:
    means = torch.randn(3, dimension, generator=generator).tolist()
    return GaussianMixture(means=tuple(map(tuple, means)), width=0.5 + float(torch.rand((), generator=generator)))


def random_flow(dimension: int, seed: int) -> Bijection:
    zuko = pytest.importorskip("zuko", reason="zuko is not installed (extra flows)")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        flow = zuko.flows.MAF(dimension, transforms=2, hidden_features=(16,), activation=torch.nn.Tanh)
    return flow_bijection(flow.double().requires_grad_(False))


def random_case(kind: str, seed: int) -> Case:
    """Return a random map, points of its domain and two laws, of two to four dimensions."""
    generator = torch.Generator().manual_seed(seed)
    d = 2 if kind == "polar" else 2 + seed % 3
    scale = 0.7 + float(torch.rand((), generator=generator))
    noise = torch.randn(d, d, generator=generator, dtype=torch.float64) / d**0.5
    affine = Affine(matrix=(0.4 * noise + torch.eye(d, dtype=torch.float64)).tolist(), shift=[0.3] * d)
    state = 0.7 * torch.randn(9, d, generator=generator, dtype=torch.float64)
    laws = random_law(d, generator), random_law(d, generator)
    if kind == "flow":
        return random_flow(d, seed % 5), state, *laws
    maps: dict[str, Bijection] = {
        "affine": affine,
        "tanh": Tanh(scale=2 + scale),
        "arcsinh": Arcsinh(scale=scale),
        "arctan": Arctan(scale=scale),
        "power": Power(exponent=scale),
        "polar": Polar(),
        "chain": Composition(bijections=(Arcsinh(scale=scale), affine, Tanh(scale=6 * scale))),
    }
    return maps[kind], state.exp() if kind == "power" else state, *laws


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "flow":
        pytest.importorskip("zuko", reason="zuko is not installed (extra flows)")
    return name


@pytest.fixture(scope="session")
def case_of() -> Callable[[str, int], Case]:
    """Make a random map with points and laws, from its kind and a seed."""
    return random_case
