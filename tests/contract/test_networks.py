"""What every registered network keeps to."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

import physcore.score.networks
from physcore.registry import build, names, plain
from physcore.score.networks import Architecture, Layout, Network

Exported = Callable[[ModuleType], dict[str, Any]]

GROUP = "physcore.networks"
LAYOUT = Layout(components=12, channels=3, clock=2, particles=4)
# What has no default, and what makes the tests quick.
SETTINGS: dict[str, dict[str, Any]] = {"u-net": {"shape": (1, 3, 4), "width": 16}, "attention": {"width": 32}}


@pytest.fixture(scope="module", params=names(GROUP))
def architecture(request: pytest.FixtureRequest) -> Architecture:
    built: Architecture = build(GROUP, request.param, SETTINGS.get(request.param, {}))
    return built


def seeded(architecture: Architecture, seed: int = 3) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return architecture.build(LAYOUT)


def nudged(architecture: Architecture) -> Network:
    """A network in double precision away from its start, where layers that begin at zero hide the others."""
    network, generator = seeded(architecture).double(), torch.Generator().manual_seed(4)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return network


def inputs(batch: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(batch, LAYOUT.components, LAYOUT.channels, generator=generator, dtype=dtype)
    return features, torch.rand(batch, LAYOUT.clock, generator=generator, dtype=dtype)


@pytest.mark.parametrize("batch", [0, 1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_output_is_one_number_for_each_component(architecture: Architecture, dtype: torch.dtype, batch: int) -> None:
    network = seeded(architecture).to(dtype)
    outputs = network(*inputs(batch, dtype))
    assert outputs.shape == (batch, LAYOUT.components)
    assert outputs.dtype == dtype
    assert torch.isfinite(outputs).all()


def test_a_fresh_network_is_small(architecture: Architecture) -> None:
    assert seeded(architecture).double()(*inputs(64)).abs().max() < 0.5


def test_output_of_a_batch_is_the_output_of_each_sample(architecture: Architecture) -> None:
    network, (features, clock) = nudged(architecture), inputs(4)
    alone = torch.cat([network(features[i : i + 1], clock[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(network(features, clock), alone, rtol=1e-10, atol=1e-10)


def test_output_depends_on_every_feature_and_on_the_clock(architecture: Architecture) -> None:
    network, (features, clock) = nudged(architecture), inputs(1)
    slopes = torch.func.jacrev(lambda f, c: network(f, c).square().sum(), argnums=(0, 1))(features, clock)
    assert all((slope != 0).all() for slope in slopes)


def test_gradient_reaches_every_parameter(architecture: Architecture) -> None:
    network = nudged(architecture)
    network(*inputs(5)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_forward_and_reverse_derivatives_agree_and_can_be_trained_on(architecture: Architecture) -> None:
    network, (features, clock) = nudged(architecture), inputs(3)
    left, right = inputs(3)[0][..., 0].flip(0), features.flip(0)
    forward = (left * torch.func.jvp(lambda f: network(f, clock), (features,), (right,))[1]).sum()
    reverse = (torch.func.grad(lambda f: (left * network(f, clock)).sum())(features) * right).sum()
    torch.testing.assert_close(forward, reverse, rtol=1e-8, atol=1e-10)
    parameters = [parameter for parameter in network.parameters() if parameter.dim() > 1]
    # The output is linear in some parameters, of which the derivative may know nothing.
    gradients = [torch.autograd.grad(value, parameters, allow_unused=True) for value in (forward, reverse)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)


def test_output_is_the_same_without_gradients(architecture: Architecture) -> None:
    network = nudged(architecture)
    expected = network(*inputs(5))
    with torch.no_grad():
        outputs = network(*inputs(5))
    assert not outputs.requires_grad
    torch.testing.assert_close(outputs, expected, rtol=1e-10, atol=1e-10)


def test_input_is_left_untouched(architecture: Architecture) -> None:
    given, kept = inputs(5), inputs(5)
    nudged(architecture)(*given).sum().backward()
    assert all(torch.equal(one, other) for one, other in zip(given, kept, strict=True))
    assert all(one.grad is None for one in given)


def test_parameters_are_a_function_of_the_seed(architecture: Architecture) -> None:
    first, second, other = (seeded(architecture, seed).state_dict() for seed in (7, 7, 8))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_state_makes_another_network_the_same(architecture: Architecture) -> None:
    network, other = nudged(architecture), seeded(architecture, 9).double()
    other.load_state_dict(network.state_dict())
    assert torch.equal(network(*inputs(5)), other(*inputs(5)))


def test_repr_is_the_constructor_call(architecture: Architecture, exported: Exported) -> None:
    assert eval(repr(architecture), exported(physcore.score.networks)) == architecture


def test_plain_values_build_the_architecture_again(architecture: Architecture) -> None:
    settings = plain(architecture)
    assert build(GROUP, settings.pop("name"), settings) == architecture


def test_a_network_learns_a_few_points_by_heart(architecture: Architecture) -> None:
    network, (features, clock) = seeded(architecture), inputs(32, torch.float32)
    target = torch.randn(32, LAYOUT.components, generator=torch.Generator().manual_seed(6))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        loss = (network(features, clock) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
