"""A score learned of real compositions samples them on the simplex, and the lemma without its term of Ito does not.

The table is not part of the package: ``$PHYSCORE_COMPOSITIONS`` names it, a file of sand, silt and clay such as that of
the European soil survey GEMAS (R package robCompositions, ``gemas``).
"""

import importlib.util
import os
from pathlib import Path

import pytest

from physcore.transform import read_compositions

VARIABLE = "PHYSCORE_COMPOSITIONS"
PARTS = ("sand", "silt", "clay")
SEED = 7

_place = importlib.util.spec_from_file_location(
    "compositions", Path(__file__).parents[1] / "benchmarks" / "compositions.py"
)
assert _place is not None
assert _place.loader is not None
benchmark = importlib.util.module_from_spec(_place)
_place.loader.exec_module(benchmark)


@pytest.mark.validation
def test_real_compositions_come_back_on_the_simplex_by_the_lemma_alone() -> None:
    path = os.environ.get(VARIABLE)
    if path is None or not Path(path).is_file():
        pytest.skip(f"${VARIABLE} names no table of {', '.join(PARTS)}")
    table = read_compositions(path, PARTS, zeros="replace", missing="drop")
    training, held_out = table.split(0.2, SEED)
    process = benchmark.noised(training)
    score = benchmark.learned(process, paths=20_000, steps=4000, seed=SEED)
    for steps in (250, 500):
        found, _ = benchmark.acceptance(process, score, held_out, paths=2000, steps=steps, permutations=200, seed=SEED)
        print(steps, found)
        for way in ("before the map", "lemma"):
            assert found[way]["parts"]["value"] < 2 * found[way]["parts"]["floor"], way
            assert found[way]["left"] < 1e-3, way
        for way in ("wrong sign", "no Ito term"):
            assert found[way]["parts"]["value"] > 10 * found[way]["parts"]["floor"], way
            assert found[way]["parts"]["significance"] < 0.01, way
