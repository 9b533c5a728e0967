"""Figures of currents and of entropy production: what is drawn, and what is left out."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.quiver import Quiver

from analysis import entropy_production_rate, probability_current
from analysis.plots import plot_entropy_production, plot_probability_current
from simulations import BreathingParabola, OrnsteinUhlenbeck, simulate

PARABOLA = BreathingParabola()
TRAP = OrnsteinUhlenbeck.rotating_trap(rotation=1.0)
EDGES = np.linspace(-3.0, 3.0, 25)


def known(times: np.ndarray) -> np.ndarray:
    return PARABOLA.entropy_production_rate(torch.tensor(times)).numpy()


def test_entropy_production_stands_beside_what_is_known_and_names_its_parities() -> None:
    data = simulate(PARABOLA, paths=500, duration=1.0, dt=0.1, seed=1)
    estimate = entropy_production_rate(PARABOLA, PARABOLA, data)
    figure = plot_entropy_production({"exact score": estimate}, known)
    assert len(figure.axes) == 2
    assert figure.legends[0].get_title().get_text() == "all variables even under time reversal"
    labels = [text.get_text() for text in figure.legends[0].texts]
    assert labels == ["medium", "known", "exact score"]
    points = figure.axes[1].containers[0].lines[0].get_ydata()
    np.testing.assert_allclose(points, estimate["value"].sel(quantity="total") - known(estimate["time"].values))
    assert len(plot_entropy_production({"exact score": estimate}).axes) == 1
    with pytest.raises(ValueError, match="`estimates`"):
        plot_entropy_production({})


def test_many_scores_have_a_legend_that_fits_the_figure_and_the_medium_its_error() -> None:
    data = simulate(PARABOLA, paths=500, duration=1.0, dt=0.1, seed=1)
    estimate = entropy_production_rate(PARABOLA, PARABOLA, data)
    names = ["learned", "fokker-planck", "kernel-density", "gaussian-mixture-fit"]
    figure = plot_entropy_production(dict.fromkeys(names, estimate))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = figure.legends[0].get_window_extent(canvas.get_renderer())
    assert drawn.x0 >= 0
    assert drawn.x1 <= figure.bbox.width
    (band,) = [child for child in figure.axes[0].collections if isinstance(child, PolyCollection)]
    medium = estimate.sel(quantity="medium")
    corners = band.get_paths()[0].vertices[:, 1]
    assert corners.max() == pytest.approx(float((medium["value"] + medium["standard_error"]).max()))


def arrows(process: OrnsteinUhlenbeck, paths: int) -> list[np.ndarray]:
    """Return the arrows of a current at the end, shape (direction, arrow), one entry for each field of arrows."""
    data = simulate(process, paths=paths, duration=0.5, dt=0.5, scheme="exact-linear", seed=1)
    figure = plot_probability_current(probability_current(process, process, data, [EDGES, EDGES]), 0.5)
    fields = [child for child in figure.axes[0].get_children() if isinstance(child, Quiver)]
    return [np.where(field.Umask, np.nan, np.stack([field.U, field.V])) for field in fields]


def test_a_rotating_trap_has_arrows_and_equilibrium_has_none_that_matter() -> None:
    (swirl,) = arrows(OrnsteinUhlenbeck.rotating_trap(rotation=1.0), 20_000)
    seen = np.isfinite(swirl).all(0)
    assert 40 < seen.sum() < seen.size
    still = arrows(OrnsteinUhlenbeck.rotating_trap(rotation=0.0), 20_000)
    assert not still or np.nanmax(np.abs(still[0])) < 1e-5 * np.nanmax(np.abs(swirl))


def test_of_one_variable_density_and_current_are_curves() -> None:
    data = simulate(PARABOLA, paths=500, duration=1.0, dt=0.1, seed=1)
    current = probability_current(PARABOLA, PARABOLA, data, [EDGES])
    left, right = plot_probability_current(current, 1.0).axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), current["density"].sel(time=1.0))
    np.testing.assert_allclose(right.lines[0].get_ydata(), current["value"].sel(time=1.0, direction="x"))
    assert left.get_xlabel() == "$x$"
    beside = {"exact": current, "other": current}
    shown = plot_probability_current(current, 1.0, beside).axes[1]
    assert [text.get_text() for text in shown.get_legend().texts] == ["learned", "exact", "other"]


def test_a_current_within_its_noise_is_said_to_be() -> None:
    data = simulate(TRAP, paths=40, duration=0.5, dt=0.5, scheme="exact-linear", seed=1)
    figure = plot_probability_current(probability_current(TRAP, TRAP, data, [EDGES, EDGES]), 0.5)
    assert figure.axes[0].get_title(loc="left") == "$t = 0.5$, no current beyond its noise"
