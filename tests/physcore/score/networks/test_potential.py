"""A potential: its output has no curl."""

import pytest
import torch
from torch import Tensor

from physcore.score.networks import MLP, Architecture, Attention, Layout, Network, Potential, ResidualMLP, UNet

LAYOUT = Layout(components=6, channels=3, clock=2, particles=3)
INNER = [MLP(width=16), ResidualMLP(width=16), Attention(width=16), UNet(shape=(1, 2, 3), width=16, multipliers=(1, 2))]


def built(architecture: Architecture) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = architecture.build(LAYOUT).double()
        for parameter in network.parameters():
            parameter.data += 0.2 * torch.randn(parameter.shape, dtype=torch.float64)
    return network


def given() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(4, 6, 3, generator=generator, dtype=torch.float64)
    return features, torch.rand(4, 2, generator=generator, dtype=torch.float64)


def curl(network: Network) -> float:
    """Return the antisymmetric part of the Jacobian with respect to channel 0, relative to the Jacobian."""
    features, clock = given()

    def outputs(state: Tensor) -> Tensor:
        whole: Tensor = network(torch.cat([state.unsqueeze(-1), features[..., 1:]], -1), clock)
        return whole

    full = torch.autograd.functional.jacobian(outputs, features[..., 0])
    jacobian = torch.stack([full[i, :, i] for i in range(4)])
    return float((jacobian - jacobian.mT).abs().max() / jacobian.abs().max())


@pytest.mark.parametrize("inner", INNER, ids=lambda inner: type(inner).__name__)
def test_output_has_no_curl(inner: Architecture) -> None:
    assert curl(built(Potential(network=inner))) < 1e-12


@pytest.mark.parametrize("inner", INNER, ids=lambda inner: type(inner).__name__)
def test_the_wrapped_network_has_curl(inner: Architecture) -> None:
    assert curl(built(inner)) > 0.01


def test_output_is_the_gradient_of_the_product_of_state_and_network() -> None:
    network, (features, clock) = built(Potential(network=MLP(width=16))), given()
    features.requires_grad_()
    product = (features[..., 0] * network.get_submodule("network")(features, clock)).sum()
    (gradient,) = torch.autograd.grad(product, features)
    torch.testing.assert_close(network(features, clock), gradient[..., 0], rtol=1e-12, atol=1e-12)


def test_a_frozen_network_under_inference_mode_gives_the_same() -> None:
    network, (features, clock) = built(Potential(network=Attention(width=16))), given()
    expected = network(features, clock).detach()
    network.requires_grad_(False).eval()
    with torch.inference_mode():
        torch.testing.assert_close(network(features, clock), expected, rtol=1e-12, atol=1e-12)


def test_gradient_of_a_parameter_is_the_difference_quotient() -> None:
    network, (features, clock) = built(Potential(network=MLP(width=8, depth=1))), given()
    weight, step = next(network.parameters()), 1e-6
    loss = network(features, clock).square().sum()
    (gradient,) = torch.autograd.grad(loss, weight)
    with torch.no_grad():
        weight[0, 0] += step
        above = network(features, clock).square().sum()
        weight[0, 0] -= 2 * step
        below = network(features, clock).square().sum()
    torch.testing.assert_close((above - below) / (2 * step), gradient[0, 0], rtol=1e-6, atol=1e-8)
