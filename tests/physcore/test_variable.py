"""Variables: names, labels and parities."""

import pytest

from physcore import Variable
from physcore.particles import particle_components
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
