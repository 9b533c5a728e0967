"""Fisher information: the inverse covariance of a Gaussian law."""

import numpy as np
import torch

from analysis import Exact, fisher_information
from simulations import OrnsteinUhlenbeck, simulate

D = [0, 1]  # the diagonal
TRAP = OrnsteinUhlenbeck(drift_matrix=((-1.0, -1.0), (0.5, -0.7)), noise_matrix=((0.0,), (0.8,)))


def test_the_information_of_a_gaussian_law_is_its_inverse_covariance() -> None:
    data = simulate(TRAP, paths=20_000, duration=1.0, dt=0.5, scheme="exact-linear", dtype="float64", seed=1)
    result = fisher_information(TRAP, Exact(TRAP), data)
    known = torch.linalg.inv(TRAP.covariance(torch.tensor(data["time"].values))).numpy()
    assert result["value"].dims == ("time", "component", "other")
    assert (np.abs(result["value"].values - known) < 5 * result["standard_error"].values).all()
    assert (np.abs(result["value"].values - 1.3 * known) > 10 * result["standard_error"].values)[
        :, [0, 1], [0, 1]
    ].all()
    trace = np.trace(known, axis1=1, axis2=2)
    assert (np.abs(result["trace"] - trace) < 5 * result["trace_standard_error"]).all()
    np.testing.assert_allclose(result["trace"], np.trace(result["value"], axis1=1, axis2=2))
