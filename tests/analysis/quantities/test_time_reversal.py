"""Time reversal: the two parts of a drift, and their divergences."""

import torch

from analysis.quantities.time_reversal import TimeReversal
from simulations import UnderdampedLangevin, VanDerPol
from simulations.potentials import DoubleWellPotential

STATES = torch.randn(7, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TIME = torch.zeros((), dtype=torch.float64)


def test_friction_is_irreversible_and_the_rest_of_a_langevin_motion_reversible() -> None:
    process = UnderdampedLangevin(potential=DoubleWellPotential(), friction=0.7)
    irreversible, reversible = TimeReversal.of(process).parts(STATES, TIME)
    friction = torch.stack([torch.zeros(7, dtype=torch.float64), -0.7 * STATES[:, 1]], -1)
    torch.testing.assert_close(irreversible, friction)
    torch.testing.assert_close(irreversible + reversible, process.drift(STATES, TIME))
    contracting, carrying = TimeReversal.of(process).divergences(STATES, TIME)
    torch.testing.assert_close(contracting, torch.full((7,), -0.7, dtype=torch.float64))
    torch.testing.assert_close(carrying, torch.zeros(7, dtype=torch.float64))


def test_divergences_are_those_of_the_parts() -> None:
    reversal = TimeReversal.of(VanDerPol(), {"x": -1, "v": 1})
    parts = reversal.divergences(STATES, TIME)
    for i, divergence in enumerate(parts):
        rows = [torch.func.jacrev(lambda x, part=i: reversal.parts(x[None], TIME)[part][0])(x).trace() for x in STATES]
        torch.testing.assert_close(divergence, torch.stack(rows))


def test_with_even_variables_all_is_irreversible() -> None:
    process = UnderdampedLangevin()
    irreversible, reversible = TimeReversal.of(process, {"v": 1}).parts(STATES, TIME)
    torch.testing.assert_close(irreversible, process.drift(STATES, TIME))
    assert not reversible.any()
