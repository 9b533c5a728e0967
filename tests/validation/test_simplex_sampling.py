"""The reverse-time lemma of Ito on the simplex, its ablations, and how often steps leave it, over several seeds."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

_place = importlib.util.spec_from_file_location(
    "simplex_sampling", Path(__file__).parents[1] / "benchmarks" / "simplex_sampling.py"
)
assert _place is not None
assert _place.loader is not None
simplex = importlib.util.module_from_spec(_place)
_place.loader.exec_module(simplex)

PATHS, SEEDS = 4000, (101, 201, 301)
LARGEST_DISTANCE = 7e-4  # mean of three seeds; the noise floor scatters by 2e-4 each
LARGEST_LEFT = 1e-4


@pytest.mark.validation
@pytest.mark.parametrize("steps", [250, 500])
def test_the_law_comes_back_on_the_simplex_by_the_lemma_alone(steps: int) -> None:
    rows = [simplex.row(steps, PATHS, seed) for seed in SEEDS]
    mean = {name: float(np.mean([entries[name] for entries in rows])) for name in rows[0]}
    print({name: f"{value:.2g}" for name, value in mean.items()})
    for name in ("before the map", "lemma", "probability flow", "noise floor"):
        assert abs(mean[name]) < LARGEST_DISTANCE, name
    for name in ("wrong sign", "no Ito term"):
        assert mean[name] > 10 * LARGEST_DISTANCE, name
    assert mean["left"] < LARGEST_LEFT
