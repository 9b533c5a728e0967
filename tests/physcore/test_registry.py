"""Parts by name: only registered ones, with parameters of the right names, types and ranges."""

import pytest

from physcore.registry import GROUPS, build, load, name_of, names, suggestion
from simulations import ActiveSwimmer, OrnsteinUhlenbeck


@pytest.mark.parametrize("group", GROUPS)
def test_every_registered_part_can_be_loaded_and_knows_its_name(group: str) -> None:
    assert names(group)
    assert names(group) == sorted(set(names(group)))
    for name in names(group):
        assert name_of(load(group, name)) == name


def test_an_unknown_name_lists_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'active-swimmer'.*ornstein-uhlenbeck"):
        load("physcore.processes", "active-swimer")
    assert suggestion("x", []) == "none are known."
    assert name_of(int) is None


def test_parameters_are_checked_and_converted() -> None:
    assert build("physcore.processes", "active-swimmer", {"friction": 1}) == ActiveSwimmer(friction=1.0)
    built = build("physcore.processes", "ornstein-uhlenbeck", {"drift_matrix": [[-1]], "noise_matrix": [[1]]})
    assert built == OrnsteinUhlenbeck(drift_matrix=((-1.0,),), noise_matrix=((1.0,),))
    assert isinstance(built.drift_matrix[0], tuple)


@pytest.mark.parametrize(
    ("parameters", "what"),
    [
        ({"fricton": 1.0}, "did you mean 'friction'"),
        ({"friction": "much"}, "friction"),
        ({"friction": None}, "friction"),
        ({"friction": [1.0]}, "friction"),
        ({"friction": True}, "friction"),
        ({"friction": -1.0}, "friction"),
        ({"friction": float("nan")}, "friction"),
        ({"__class__": 1}, "__class__"),
    ],
    ids=str,
)
def test_parameters_that_cannot_be_are_refused_by_name(parameters: dict[str, object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        build("physcore.processes", "active-swimmer", parameters)
