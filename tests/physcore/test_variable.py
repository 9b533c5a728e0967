"""Variables: names, labels and parities."""

import pytest

from physcore import Variable
from physcore.particles import particle_components
from physcore.variable import axis_label, reciprocal_units, typeset_units
from simulations import Duffing, UnderdampedLangevin, VanDerPol


@pytest.mark.parametrize("parity", [0, 2, -2])
def test_a_parity_is_even_or_odd(parity: int) -> None:
    with pytest.raises(ValueError, match="`parity`"):
        Variable("v", parity=parity)


def test_velocities_of_the_catalogue_are_odd_and_everything_else_even_by_default() -> None:
    for process in (UnderdampedLangevin(), Duffing(), VanDerPol()):
        assert [variable.parity for variable in process.variables] == [1, -1]
    assert Variable("x").parity == 1


def test_particles_have_the_parity_of_their_variable() -> None:
    components = particle_components((Variable("x"), Variable("v", parity=-1)), 2)
    assert [component.parity for component in components] == [1, 1, -1, -1]


@pytest.mark.parametrize(
    ("units", "inverse", "shown"),
    [
        ("s", "s-1", "s⁻¹"),
        ("m s-1", "(m s-1)-1", "(m s⁻¹)⁻¹"),
        ("um", "um-1", "µm⁻¹"),
        ("radian2", "(radian2)-1", "(rad²)⁻¹"),
        ("1", "1", "1"),
    ],
)
def test_units_are_inverted_as_cf_writes_them_and_shown_as_people_do(units: str, inverse: str, shown: str) -> None:
    assert reciprocal_units(units) == inverse
    assert typeset_units(inverse) == shown


def test_an_axis_without_units_has_no_brackets() -> None:
    assert axis_label("time $t$", "1") == "time $t$"
    assert axis_label("time $t$", "s") == "time $t$ [s]"
    assert Variable("x", units="um", symbol="x_1").label == "$x_1$ [µm]"
