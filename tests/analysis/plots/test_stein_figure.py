"""The figure of Stein discrepancies: what is filled, and against what it is drawn."""

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis import Exact, Reference, kernel_stein_discrepancy
from analysis.plots import plot_stein_discrepancy
from simulations import OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck.rotating_trap(stiffness=1.0, rotation=0.5)


class Late(Reference):
    """The exact score, and twice as much after a while."""

    def score(self, state: Tensor, time: Tensor | float) -> Tensor:
        return (2.0 if float(time) > 0.5 else 1.0) * TRAP.score(state, torch.as_tensor(time))


def test_what_is_rejected_is_filled_and_stands_over_the_band() -> None:
    data = simulate(TRAP, paths=400, duration=1.0, dt=0.25, scheme="exact-linear", dtype="float64", seed=2)
    results = {
        name: kernel_stein_discrepancy(TRAP, score, data, replicates=100)
        for name, score in (("exact", Exact(TRAP)), ("late", Late()))
    }
    figure = plot_stein_discrepancy(results)
    axes = figure.axes[0]
    assert [text.get_text() for text in figure.legends[0].texts] == ["exact", "late"]
    late = results["late"]
    np.testing.assert_allclose(axes.lines[2].get_ydata(), late["v_statistic"] / late["null"].sel(quantile=0.95))
    filled = axes.lines[3]
    np.testing.assert_array_equal(filled.get_xdata(), [0.75, 1.0])
    assert min(filled.get_ydata()) > 1
    with pytest.raises(ValueError, match="`estimates`"):
        plot_stein_discrepancy({})
