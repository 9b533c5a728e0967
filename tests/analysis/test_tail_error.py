"""Errors by distance from the bulk: known ones are found in their bins, and the figure shows them."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from analysis import Equilibrium, tail_error
from analysis.plots import plot_tail_error
from simulations import StudentDiffusion

ATOMS = StudentDiffusion(degrees_of_freedom=3.0, initial_width=None)
FRACTIONS = (1.0, 0.3, 0.05)


@dataclasses.dataclass(frozen=True)
class Scaled:
    """The stationary score times a factor that depends on the distance."""

    inner: float
    outer: float
    edge: float

    def score(self, state: Tensor, time: Tensor) -> Tensor:
        return ATOMS.stationary_score(state) * torch.where(state.abs() > self.edge, self.outer, self.inner)


def states(number: int = 20_000) -> Tensor:
    return ATOMS.sample_stationary(number, torch.Generator().manual_seed(4))


def test_relative_errors_are_found_in_their_bins() -> None:
    points = states()
    edge = float(points.abs().quantile(1 - FRACTIONS[-1]))
    scores = {"tails off": Scaled(1.0, 0.5, edge), "none": Scaled(0.0, 0.0, edge)}
    errors = tail_error(scores, Equilibrium(ATOMS), points, time=0.5, fractions=FRACTIONS)
    expected = torch.tensor([[0.0, 0.0, 0.25], [1.0, 1.0, 1.0]], dtype=torch.float64)
    # The median is not quite zero, so a few states at the edge are in the other bin.
    torch.testing.assert_close(torch.from_numpy(errors["value"].values), expected, rtol=0, atol=0.01)
    assert errors["states"].values.tolist() == [14_000, 5_000, 1_000]
    assert (errors["distance"].values[1:] > errors["distance"].values[:-1]).all()


def test_the_standard_error_is_that_of_repetitions() -> None:
    wrong = {"wrong": Scaled(0.5, 1.1, 1.0)}
    repeated = []
    for seed in range(20):
        points = ATOMS.sample_stationary(4000, torch.Generator().manual_seed(seed))
        repeated.append(tail_error(wrong, Equilibrium(ATOMS), points, time=0.0, fractions=(1.0, 0.1)))
    values = torch.tensor([part["value"].values.tolist() for part in repeated])
    claimed = torch.tensor([part["standard_error"].values.tolist() for part in repeated]).square().mean(0).sqrt()
    scattered = values.std(0)
    assert float(claimed[0, 0] / scattered[0, 0]) == pytest.approx(1, abs=0.6)


def test_the_figure_has_a_line_for_each_score() -> None:
    scores = {"tails off": Scaled(1.1, 0.5, 3.0), "bulk off": Scaled(0.5, 1.1, 3.0)}
    errors = tail_error(scores, Equilibrium(ATOMS), states(), time=0.5, fractions=FRACTIONS)
    axes = plot_tail_error(errors).axes[0]
    shown = {container.get_label(): container[0].get_ydata().tolist() for container in axes.containers}
    assert shown == {name: errors["value"].sel(score=name).values.tolist() for name in scores}
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_d7_what_cannot_be_measured_is_refused() -> None:
    scores, reference = {"exact": Scaled(1.0, 1.0, 1.0)}, Equilibrium(ATOMS)
    for fractions in ((0.5, 0.1), (1.0, 0.1, 0.2), (1.0, 0.0)):
        with pytest.raises(ValueError, match="`fractions` must fall from 1"):
            tail_error(scores, reference, states(), time=0.5, fractions=fractions)
    with pytest.raises(ValueError, match="`states` must be at least 64000; got 100"):
        tail_error(scores, reference, states(100), time=0.5)
    with pytest.raises(ValueError, match="most values are the same"):
        tail_error(scores, reference, torch.zeros(1000, 1), time=0.5, fractions=(1.0, 0.5))
    with pytest.raises(ValueError, match="`reference` must know"):
        tail_error(scores, Scaled(math.nan, 1.0, 1.0), states(1000), time=0.5, fractions=(1.0, 0.5))
