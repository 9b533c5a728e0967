"""Compositions compared: the geometry of ratios, and the noise floor of the energy distance."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis import aitchison_summary, centred_log_ratios, permuted_energy_distance
from analysis.plots import plot_ternary
from analysis.plots.figure import save_figure
from physcore.transform import Compositions, closed

NAMES = ("sand", "silt", "clay")

_place = importlib.util.spec_from_file_location(
    "compositions", Path(__file__).parents[1] / "benchmarks" / "compositions.py"
)
assert _place is not None
assert _place.loader is not None
benchmark = importlib.util.module_from_spec(_place)
_place.loader.exec_module(benchmark)


def drawn(rows: int, seed: int, shift: float = 0.0) -> Compositions:
    normals = torch.randn(rows, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mixed = normals @ torch.tensor([[1.0, 0.3, 0.0], [0.0, 0.5, 0.2], [0.0, 0.0, 0.8]], dtype=torch.float64)
    return Compositions(NAMES, closed(torch.exp(mixed + torch.tensor([shift, 0.0, -1.0]))))


def test_variation_and_centre_are_those_of_the_definition_and_do_not_depend_on_units() -> None:
    compositions = drawn(400, 1)
    summary = aitchison_summary(compositions)
    logs = np.log(compositions.parts.numpy())
    for i in range(3):
        for j in range(3):
            expected = 0.0 if i == j else np.var(logs[:, i] - logs[:, j], ddof=1)
            np.testing.assert_allclose(summary["variation"].values[i, j], expected, atol=1e-12)
    np.testing.assert_allclose(float(summary["total_variance"]), summary["variation"].values.sum() / 6)
    ratios = centred_log_ratios(compositions.parts)
    np.testing.assert_allclose(float(summary["total_variance"]), ratios.var(0).sum())
    other = Compositions(NAMES, closed(compositions.parts * torch.tensor([1.0, 7.0, 0.1], dtype=torch.float64)))
    moved = aitchison_summary(other)
    np.testing.assert_allclose(moved["variation"].values, summary["variation"].values, atol=1e-12)
    expected_centre = closed(torch.tensor(summary["centre"].values * np.array([1.0, 7.0, 0.1])))
    np.testing.assert_allclose(moved["centre"].values, expected_centre.numpy())


def test_standard_errors_cover_the_scatter_over_samples() -> None:
    summaries = [aitchison_summary(drawn(200, seed)) for seed in range(60)]
    for name in ("centre", "variation", "total_variance"):
        values = np.stack([summary[name].values for summary in summaries])
        claimed = np.stack([summary[f"{name}_standard_error"].values for summary in summaries]).mean(0)
        scatter = values.std(0, ddof=1)
        np.testing.assert_allclose(claimed, scatter, rtol=0.35, atol=1e-12)


def test_the_energy_distance_is_that_of_all_pairs() -> None:
    first, second = drawn(8, 1).parts, drawn(11, 2).parts
    apart = [[float((a - b).norm()) for b in second] for a in first]
    within = [
        sum(float((a - b).norm()) for a in points for b in points) / (len(points) * (len(points) - 1))
        for points in (first, second)
    ]
    expected = 2 * np.mean(apart) - sum(within)
    assert float(permuted_energy_distance(first, second, permutations=2)["value"]) == pytest.approx(expected)


def test_equal_laws_are_within_their_noise_floor_and_others_beyond() -> None:
    inside = [permuted_energy_distance(drawn(100, s).parts, drawn(80, s + 100).parts, seed=s) for s in range(20)]
    assert sum(float(found["value"]) > float(found["floor"]) for found in inside) <= 5  # one in twenty is expected
    significances = [float(found["significance"]) for found in inside]
    assert 0.25 < np.mean(significances) < 0.75
    outside = permuted_energy_distance(drawn(100, 1).parts, drawn(80, 2, shift=1.0).parts)
    assert float(outside["value"]) > 2 * float(outside["floor"])
    assert float(outside["significance"]) == pytest.approx(1 / 201)


def test_d7_what_cannot_be_compared_is_refused() -> None:
    few = torch.zeros(1, 2)
    with pytest.raises(ValueError, match="two or more points"):
        permuted_energy_distance(few, torch.zeros(4, 2))
    with pytest.raises(ValueError, match="same number of components"):
        permuted_energy_distance(torch.zeros(4, 3), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="finite"):
        permuted_energy_distance(torch.full((4, 2), math.nan), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="`permutations`"):
        permuted_energy_distance(torch.zeros(4, 2), torch.zeros(4, 2), permutations=1)
    with pytest.raises(ValueError, match="two or more rows"):
        aitchison_summary(drawn(1, 1))
    with pytest.raises(ValueError, match="three parts"):
        plot_ternary({"data": torch.full((4, 2), 0.5)}, ("a", "b"))


def test_a_ternary_plot_places_pure_parts_at_the_corners(tmp_path: Path) -> None:
    figure = plot_ternary({"corners": torch.eye(3), "data": drawn(50, 1).parts}, NAMES)
    offsets = np.asarray(figure.axes[0].collections[0].get_offsets())
    np.testing.assert_allclose(offsets, [[0, 0], [1, 0], [0.5, math.sqrt(3) / 2]], atol=1e-12)
    assert [axes.get_title() for axes in figure.axes] == ["corners (3)", "data (50)"]
    save_figure(figure, tmp_path / "ternary.png")
    assert (tmp_path / "ternary.png").stat().st_size > 1000


@pytest.mark.parametrize(("way", "good"), [("lemma", True), ("wrong sign", False), ("no Ito term", False)])
def test_noised_compositions_come_back_on_the_simplex_by_the_lemma_alone(way: str, good: bool) -> None:
    rows = drawn(200, 1)
    process = benchmark.noised(rows)
    parts, outside = benchmark.sampled(process, process.score, way, paths=400, steps=150, seed=5)
    assert parts.shape == (400, 3)
    distance = permuted_energy_distance(centred_log_ratios(parts), centred_log_ratios(drawn(400, 9).parts))
    assert (float(distance["value"]) < 2 * float(distance["floor"])) == good
    assert outside < 1e-2
