"""Layouts and architectures: what is refused, and how a configuration chooses one."""

import dataclasses
from typing import Any

import pytest

from physcore.plain_values import typed
from physcore.registry import build
from physcore.score.networks import MLP, Architecture, Attention, Layout, Potential, ResidualMLP, UNet

GROUP = "physcore.networks"


@pytest.mark.parametrize(
    ("kind", "settings", "what"),
    [
        (Layout, {"components": 0, "channels": 1, "clock": 1}, "components"),
        (Layout, {"components": 2, "channels": 1.0, "clock": 1}, "channels"),
        (Layout, {"components": 2, "channels": 1, "clock": True}, "clock"),
        (Layout, {"components": 2, "channels": 1, "clock": 1, "particles": 0}, "particles"),
        (Layout, {"components": 5, "channels": 1, "clock": 1, "particles": 2}, "multiple of the 2 particles; got 5"),
        (MLP, {"width": 0}, "width"),
        (MLP, {"depth": -1}, "depth"),
        (ResidualMLP, {"blocks": 0}, "blocks"),
        (Attention, {"layers": 0}, "layers"),
        (Attention, {"width": 10, "heads": 4}, "`heads` must divide the 10 units of a token; got 4"),
        (UNet, {"shape": (1, 8)}, "rows"),
        (UNet, {"shape": (1, 8, 0)}, "shape"),
        (UNet, {"shape": (1, 8, 8), "multipliers": ()}, "multipliers"),
        (UNet, {"shape": (1, 8, 8), "multipliers": (1, 0)}, "multipliers"),
        (UNet, {"shape": (1, 8, 8), "width": 12}, "multiple of the 8 groups"),
        (UNet, {"shape": (1, 8, 8), "width": 8}, "twice at least; got 8"),
        (UNet, {"shape": (1, 8, 8), "heads": 3}, "`heads` must divide the 64 units"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_by_name(kind: type, settings: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        kind(**settings)


def test_a_configuration_builds_networks_inside_networks() -> None:
    built = build(GROUP, "potential", {"network": {"name": "u-net", "shape": [1, 6, 6], "multipliers": [1, 2]}})
    assert built == Potential(network=UNet(shape=(1, 6, 6), multipliers=(1, 2)))
    assert build(GROUP, "potential", {"network": "attention"}) == Potential(network=Attention())
    assert build(GROUP, "potential", {"network": ResidualMLP(width=8)}) == Potential(network=ResidualMLP(width=8))


@pytest.mark.parametrize(
    ("network", "what"),
    [
        ("mpl", "did you mean 'mlp'"),
        ({"name": "mlp", "widht": 3}, "did you mean 'width'"),
        ({"name": "mlp", "width": 3.5}, "width"),
        ({"width": 3}, "with a `name`, one of attention, mlp"),
        ({"name": "u-net", "shape": [1, 8]}, "shape"),
        ({"name": "u-net"}, "'u-net' must be given `shape`"),
        (7, "with a `name`"),
    ],
    ids=str,
)
def test_a_configuration_that_builds_no_network_is_refused(network: Any, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        build(GROUP, "potential", {"network": network})


def test_an_architecture_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        MLP().width = 3  # type: ignore[misc]
    assert typed("shape", [1, 2, 3], tuple[int, int, int]) == (1, 2, 3)
    assert Architecture.group == GROUP
