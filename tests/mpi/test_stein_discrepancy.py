"""Stein discrepancies are the same bits for any number of ranks."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from analysis import kernel_stein_discrepancy
from analysis.stein import pair_sums
from simulations import OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck.rotating_trap(stiffness=1.0, rotation=0.5)

SOURCE = """
import json
import torch
from analysis import kernel_stein_discrepancy
from analysis.stein import pair_sums
from physcore.communicator import world
from simulations import OrnsteinUhlenbeck, simulate

torch.set_num_threads(1)
pair_sums.MOST_ROWS = 64
trap = OrnsteinUhlenbeck.rotating_trap(stiffness=1.0, rotation=0.5)
data = simulate(trap, paths=300, duration=0.5, dt=0.25, scheme="exact-linear", dtype="float64", seed=2)
ranks = world()
found = kernel_stein_discrepancy(trap, trap, data, replicates=64, communicator=ranks)
text = json.dumps({name: [float(x).hex() for x in found[name].values.flat] for name in found})
assert ranks.gather(text) == [text] * ranks.size
if ranks.rank == 0:
    print(text)
raise SystemExit
"""


def test_two_ranks_find_the_same_bits_as_one(mpiexec: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_sums, "MOST_ROWS", 64)
    data = simulate(TRAP, paths=300, duration=0.5, dt=0.25, scheme="exact-linear", dtype="float64", seed=2)
    alone = kernel_stein_discrepancy(TRAP, TRAP, data, replicates=64)
    ended = mpiexec(2, source=SOURCE)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out) == {name: [float(x).hex() for x in alone[name].values.flat] for name in alone}
