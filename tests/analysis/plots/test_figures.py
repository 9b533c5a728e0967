"""Figures show what they should of processes of any dimension; they are drawn, not looked at."""

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.figure import Figure

from analysis import Exact, Reference
from analysis.plots import plot_error_against_time, plot_score_fields, plot_trajectories
from analysis.plots.shown_components import shown_components
from physcore.process import Process
from physcore.score import MLP, LocalScore
from physcore.trajectory import frames
from simulations import (
    ActiveBrownianParticles,
    Kuramoto,
    Lorenz63,
    Lorenz96,
    MovingTrap,
    SoftSpheres,
    TiltedRing,
    UnderdampedLangevin,
    simulate,
)
from simulations.potentials import HarmonicPotential

TIMES = np.linspace(0.1, 1.0, 10)


@pytest.mark.parametrize(
    ("process", "names"),
    [
        pytest.param(TiltedRing(), ["theta"], id="one component"),
        pytest.param(Lorenz63(), ["x", "y", "z"], id="three components"),
        pytest.param(Lorenz96(), ["x0", "x1", "x2", "x3"], id="too many components"),
        pytest.param(Kuramoto(), ["theta0", "theta1", "theta2", "theta3"], id="one variable a particle"),
        pytest.param(SoftSpheres(), ["x0", "y0", "x1", "y1"], id="two variables a particle"),
        pytest.param(ActiveBrownianParticles(), ["x0", "y0", "theta0"], id="no room for a second particle"),
    ],
)
def test_whole_particles_are_shown_before_a_variable_of_the_next(process: Process, names: list[str]) -> None:
    assert [process.variables[i].name for i in shown_components(process, 4)] == names


def test_a_particle_too_large_for_the_figure_is_shown_in_part() -> None:
    assert shown_components(ActiveBrownianParticles(particles=8), 2) == [0, 8]


def test_trajectories_of_particles_have_a_row_for_each_shown_component() -> None:
    process = SoftSpheres()
    figure = plot_trajectories(process, simulate(process, paths=100, duration=0.1, dt=1e-2, seed=1), [0.1])
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["$x_{0}$", "$y_{0}$", "$x_{1}$", "$y_{1}$"]


def test_a_score_of_many_components_is_shown_against_the_exact_one_particle_by_particle() -> None:
    process = MovingTrap(particles=3)
    trajectories = simulate(process, paths=100, duration=0.5, dt=1e-2, seed=1)
    scales = {name: [1.0] * process.dimension for name in ("center", "scale", "drift_scale")}
    with torch.random.fork_rng(devices=[]):
        score = LocalScore(process, (0.2, 0.5), window=0.6, start=0.0, network=MLP(), **scales)
    figure = plot_score_fields(score, Exact(process), trajectories, 0.5)
    names = [f"{name}_{{{particle}}}" for particle in (0, 1) for name in "xy"]
    assert [axes.get_xlabel() for axes in figure.axes] == [f"reference $s_{{{name}}}$" for name in names]
    last = frames(process, trajectories)[-1].double()
    exact = process.score(last, torch.tensor(0.5))[:, process.particles + 1]
    np.testing.assert_allclose(figure.axes[3].lines[1].get_xdata(), exact, rtol=1e-4)


class Stationary(Reference):
    """The score of the stationary law."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def score(self, state: torch.Tensor, time: torch.Tensor | float) -> torch.Tensor:
        return self.process.stationary_score(state)


@pytest.mark.parametrize(
    ("dimension", "titles", "label"),
    [(1, ["learned $s_{v}$", "reference $s_{v}$", "difference"], "$x$"), (2, ["", ""], "reference $s_{v_{0}}$")],
    ids=["maps", "scatter"],
)
def test_of_a_score_of_driven_components_only_these_are_shown(dimension: int, titles: list[str], label: str) -> None:
    process = UnderdampedLangevin(potential=HarmonicPotential(dimension=dimension))
    ones = [1.0] * process.dimension
    with torch.random.fork_rng(devices=[]):
        score = LocalScore(
            process,
            (0.2, 0.5),
            window=0.6,
            start=0.0,
            center=ones,
            scale=ones,
            drift_scale=ones,
            network=MLP(),
            components="driven",
        )
    trajectories = simulate(process, paths=500, duration=0.5, dt=1e-2, seed=1)
    figure = plot_score_fields(score, Stationary(process), trajectories, 0.5)
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    assert [axes.get_title() for axes in panels] == titles
    assert panels[0].get_xlabel() == label


def test_errors_that_are_not_known_have_no_place_in_the_legend() -> None:
    given = comparison(own=np.nan)
    given["value"].loc[{"selection": "full"}] = np.nan
    assert [text.get_text() for text in plot_error_against_time(given, "grid").legends[0].texts] == ["driven score"]


@pytest.mark.parametrize(("paths", "bins"), [(20, 15), (1000, 20), (40_000, 60)])
def test_densities_have_bins_for_the_number_of_paths(paths: int, bins: int) -> None:
    process = TiltedRing()
    trajectories = simulate(process, paths=paths, duration=0.1, dt=1e-2, seed=1)
    density = plot_trajectories(process, trajectories, [0.1]).axes[1].lines[0]
    assert len(density.get_xdata()) == bins


def comparison(own: float) -> xr.Dataset:
    """Return errors falling from 1e-2 to 1e-3 with a reference whose own error is constant."""
    value = np.tile(np.geomspace(1e-2, 1e-3, len(TIMES)), (1, 2, 1))
    stacked = ("reference", "selection", "time")
    return xr.Dataset(
        {
            "value": (stacked, value),
            "standard_error": (stacked, 0.1 * value),
            "reference_error": (("reference", "time"), np.full((1, len(TIMES)), own)),
        },
        {"reference": ["grid"], "selection": ["full", "driven"], "time": TIMES},
    )


def _dashed(figure: Figure) -> list[str]:
    return [str(line.get_label()) for line in figure.axes[0].lines if line.get_linestyle() == "--"]


def test_a_negligible_own_error_is_told_and_does_not_stretch_the_axis() -> None:
    figure = plot_error_against_time(comparison(own=1e-9), "grid")
    assert figure.legends[0].get_title().get_text() == "grid: own error 1e-09 at most"
    assert _dashed(figure) == []
    assert figure.axes[0].get_ylim() == pytest.approx((1e-4, 1e-1))


def test_an_own_error_that_matters_is_drawn() -> None:
    figure = plot_error_against_time(comparison(own=3e-5), "grid")
    assert _dashed(figure) == ["reference's error"]
    low, high = figure.axes[0].get_ylim()
    assert low <= 3e-5
    assert high >= 1e-2


def test_an_unknown_own_error_is_neither_drawn_nor_told() -> None:
    figure = plot_error_against_time(comparison(own=np.nan), "grid")
    assert _dashed(figure) == []
    assert figure.legends[0].get_title().get_text() == ""
