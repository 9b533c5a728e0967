"""The U-Net: pixels in their places, on grids of any size."""

import pytest
import torch
from torch import Tensor

from physcore.score.networks import Layout, Network, UNet

SHAPE = (2, 3, 5)
LAYOUT = Layout(components=30, channels=4, clock=2)


def built(architecture: UNet, layout: Layout) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return architecture.build(layout)


def test_a_component_is_a_pixel_in_row_major_order() -> None:
    network, seen = built(UNet(shape=SHAPE, width=16, multipliers=(1,)), LAYOUT), list[Tensor]()
    network.get_submodule("first").register_forward_hook(lambda module, given, result: seen.append(given[0]))
    network.get_parameter("last.2.bias").data[:] = torch.tensor([1.0, 2.0])
    features = torch.arange(120.0).reshape(1, 30, 4)
    outputs = network(features, torch.zeros(1, 2))
    for channel, row, column, feature in [(0, 0, 0, 0), (1, 2, 4, 3), (1, 0, 3, 2), (0, 2, 1, 1)]:
        component = (channel * 3 + row) * 5 + column
        assert seen[0][0, channel * 4 + feature, row, column] == features[0, component, feature]
    torch.testing.assert_close(outputs[0], torch.tensor([1.0] * 15 + [2.0] * 15))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 5), (3, 8, 8), (1, 2, 9)], ids=str)
def test_any_size_of_a_grid_is_taken(shape: tuple[int, int, int]) -> None:
    components = shape[0] * shape[1] * shape[2]
    network = built(UNet(shape=shape, width=16), Layout(components=components, channels=1, clock=1))
    for parameter in network.get_submodule("last").parameters():
        parameter.data += 0.1
    features = torch.linspace(-1, 1, 2 * components).reshape(2, components, 1)
    outputs = network(features, torch.tensor([[0.0], [1.0]]))
    assert outputs.shape == (2, components)
    assert torch.isfinite(outputs).all()
    assert not torch.equal(outputs[0], outputs[1])


def test_an_untrained_network_is_zero() -> None:
    assert not built(UNet(shape=SHAPE, width=16), LAYOUT)(
        torch.randn(3, 30, 4, generator=torch.Generator()), torch.zeros(3, 2)
    ).any()


def test_every_pixel_sees_every_other() -> None:
    layout = Layout(components=81, channels=1, clock=1)
    network = built(UNet(shape=(1, 9, 9), width=16), layout)
    generator = torch.Generator().manual_seed(2)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    features = torch.randn(1, 81, 1, generator=generator)
    slope = torch.func.grad(lambda f: network(f, torch.zeros(1, 1))[0, 0])(features)
    assert (slope != 0).all()


def test_another_number_of_components_is_refused() -> None:
    with pytest.raises(ValueError, match=r"30 components of a state; \(1, 4, 4\) holds 16"):
        UNet(shape=(1, 4, 4)).build(LAYOUT)
