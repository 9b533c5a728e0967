"""The grid reference against Gaussian laws and Boltzmann's law, its options and its messages."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from analysis.references import fokker_planck
from analysis.references.fokker_planck import FokkerPlanck
from physcore import Communicator
from physcore.errors import NumericalError
from physcore.process import Process, Variable
from simulations.processes.double_well import DoubleWell


def tensor(values: object) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def log_density(law: torch.distributions.MultivariateNormal, state: Tensor) -> Tensor:
    value: Tensor = law.log_prob(state)  # type: ignore[no-untyped-call]
    return value


class Linear(Process):
    """dX = (A X + b(t)) dt + g(t) G dW from a Gaussian; its law is Gaussian with moments from their own equations."""

    def __init__(
        self,
        matrix: list[list[float]],
        noise: list[list[float]],
        mean: list[float],
        covariance: list[list[float]],
        force: Callable[[Tensor], Tensor] | None = None,
        strength: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.matrix, self.noise_matrix = tensor(matrix), tensor(noise)
        self.mean, self.covariance = tensor(mean), tensor(covariance)
        self.variables = tuple(Variable(name, units="m") for name in "xyzw"[: len(mean)])
        self.force = force or (lambda time: torch.zeros(len(mean), dtype=torch.float64))
        self.strength = strength or (lambda time: torch.ones((), dtype=torch.float64))

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return state @ self.matrix.mT + self.force(time)

    def noise(self, time: Tensor) -> Tensor:
        return self.noise_matrix * self.strength(time)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        normal = torch.randn(paths, len(self.mean), dtype=torch.float64, generator=generator)
        states: Tensor = self.mean + normal @ torch.linalg.cholesky(self.covariance).mT
        return states

    def initial_log_density(self, state: Tensor) -> Tensor:
        return log_density(torch.distributions.MultivariateNormal(self.mean, self.covariance), state.double())

    def law(self, time: float) -> torch.distributions.MultivariateNormal:
        size = len(self.mean)

        def rate(t: float, moments: np.ndarray) -> np.ndarray:
            mean, covariance = tensor(moments[:size]), tensor(moments[size:]).reshape(size, size)
            noise, half = self.noise(tensor(t)), self.matrix @ covariance
            return torch.cat([self.drift(mean, tensor(t)), (half + half.mT + noise @ noise.mT).ravel()]).numpy()

        start = torch.cat([self.mean, self.covariance.ravel()]).numpy()
        moments = solve_ivp(rate, (0, time), start, rtol=1e-10, atol=1e-12).y[:, -1]
        return torch.distributions.MultivariateNormal(
            tensor(moments[:size]), tensor(moments[size:]).reshape(size, size)
        )


def true_error(reference: FokkerPlanck, process: Linear, time: float) -> float:
    law = process.law(time)
    states = law.loc + torch.randn(20_000, len(law.loc), dtype=torch.float64, generator=seeded()) @ law.scale_tril.mT
    exact = -(states - law.loc) @ law.precision_matrix
    score = reference.score(states, time)
    assert torch.isfinite(score).all()
    return float((score - exact).square().sum() / exact.square().sum())


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def oscillation(time: Tensor) -> Tensor:
    return torch.stack([2 * torch.sin(3 * time), torch.zeros_like(time)]).double()


LINEAR = {
    "ornstein-uhlenbeck": (Linear([[-1.0]], [[1.0]], [1.0], [[0.25]]), 128, 1e-8),
    "narrow start": (Linear([[-1.0]], [[1.0]], [3.0], [[1e-4]]), 128, 3e-8),
    "moving trap": (Linear([[-1.0]], [[1.0]], [0.0], [[0.3]], lambda time: 2 * torch.sin(3 * time)), 128, 1e-8),
    "changing noise": (
        Linear([[-1.0]], [[1.0]], [0.0], [[0.3]], None, lambda time: 1 + 0.5 * torch.sin(2 * time)),
        128,
        3e-8,
    ),
    "rotating": (Linear([[-0.5, 2], [-2, -0.5]], [[1, 0], [0, 0.6]], [1, 0], [[0.5, 0], [0, 0.3]]), 128, 1e-6),
    "kinetic": (Linear([[0, 1], [-1, -0.5]], [[0], [1.0]], [1, 0], [[0.25, 0], [0, 0.25]]), 128, 2e-6),
    "kinetic, noise first": (Linear([[-0.5, -1], [1, 0]], [[1.0], [0]], [0, 1], [[0.25, 0], [0, 0.25]]), 128, 2e-6),
    "free": (Linear([[0, 1], [0, 0]], [[0], [1.0]], [1, 0], [[0.1, 0], [0, 0.1]]), 128, 1e-6),
    "correlated": (Linear([[-1, 0.5], [0, -0.7]], [[1, 0], [0.5, 0.8]], [0.5, 0], [[0.5, 0.1], [0.1, 0.3]]), 128, 5e-6),
    "one oblique noise": (
        Linear([[-1, 0.5], [-0.5, -0.7]], [[0.8], [0.6]], [0.5, 0], [[0.5, 0.1], [0.1, 0.3]]),
        192,
        3e-5,  # of the step, which auto-refinement halves: 1e-6 at half of it
    ),
    "noise across the spread": (
        Linear([[-1, 0.5], [-0.5, -0.7]], [[0.8], [0.6]], [0, 0], [[1, -0.8], [-0.8, 1]]),
        192,
        3e-5,
    ),
    "two moving": (
        Linear([[-1, 0.5], [-0.5, -0.7]], [[1, 0], [0, 0.6]], [0, 0], [[0.3, 0], [0, 0.3]], oscillation),
        128,
        3e-6,
    ),
    "noise in the activity alone": (
        Linear(
            [[0, 1, 0], [-1, -1, 1], [0, 0, -1]],
            [[0], [0], [1.4]],
            [0.5, 0, 0],
            [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 1]],
        ),
        40,
        1e-3,
    ),
    "correlated in space": (
        Linear(
            [[-1, 0.3, 0], [0, -1.2, 0.4], [0.2, 0, -0.8]],
            [[1, 0, 0], [0.6, 0.8, 0], [0.5, -0.4, 0.7]],
            [0, 0, 0],
            [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        ),
        40,
        5e-3,
    ),
    "three moving": (
        Linear(
            [[-1, 0.5, 0], [-0.5, -0.7, 0.2], [0, 0.3, -1.2]],
            [[0.9, 0, 0], [0, 0.8, 0], [0, 0, 0.9]],
            [0, 0, 0.3],
            [[0.3, 0.1, 0], [0.1, 0.3, 0], [0, 0, 0.4]],
            lambda time: torch.stack([2 * torch.sin(3 * time), torch.zeros_like(time), torch.cos(time)]).double(),
        ),
        40,
        1e-3,
    ),
}


@pytest.mark.parametrize("name", LINEAR)
def test_score_of_a_gaussian_law_and_its_own_error_estimate(name: str) -> None:
    process, count, tolerance = LINEAR[name]
    reference = FokkerPlanck(process, cells=(count,) * process.dimension)
    reference.prepare([0.5, 2.0])
    for time in (0.5, 2.0):
        error, estimate = true_error(reference, process, time), reference.error_estimate(time)
        assert error < tolerance
        # A factor 3 in the error, 10 in its square, either way; nobody needs to know errors below 1e-9 apart. In three
        # dimensions the coarsest grid has but 10 cells a side, so that the estimate is on the safe side by more.
        assert error / 10 - 1e-9 < estimate < (50 if process.dimension == 3 else 10) * error + 1e-9
        assert abs(reference.mass(time) - 1) < 1e-7
        law = process.law(time)
        states = law.loc + tensor([[0.0], [0.5]]) * torch.diagonal(law.scale_tril)
        torch.testing.assert_close(
            reference.log_density(states, time), log_density(law, states), atol=2 * tolerance**0.5, rtol=0
        )
        norm = float(law.precision_matrix.trace())
        assert reference.score_norm(time).sum() == pytest.approx(norm, rel=3 * np.sqrt(tolerance))


def test_score_error_refuses_a_wrong_law() -> None:
    process = LINEAR["ornstein-uhlenbeck"][0]
    reference = FokkerPlanck(process, cells=(128,))
    wrong = Linear([[-1.01]], [[1.0]], [1.0], [[0.25]])
    with pytest.raises(AssertionError):
        assert true_error(reference, wrong, 2.0) < 1e-6


def test_error_falls_with_the_step_as_claimed() -> None:
    process = LINEAR["rotating"][0]
    errors = []
    for step in (0.25, 0.125):
        reference = FokkerPlanck(process, cells=(192, 192), step=step, box=((-5.5, 5.5), (-5.5, 5.5)))
        errors.append(true_error(reference, process, 1.0))
    assert 3.3 < np.sqrt(errors[0] / errors[1]) < 5  # order 2: a factor 4


def test_kinetic_noise_is_of_order_four_in_the_step() -> None:
    process = Linear([[-3, 1], [0, 0]], [[0], [1.0]], [0, 0], [[0.2, 0], [0, 0.5]])
    errors = []
    for step in (0.4, 0.2):
        reference = FokkerPlanck(process, cells=(512, 192), step=step, box=((-3.5, 3.5), (-9, 9)))
        errors.append(true_error(reference, process, 1.6))
    assert np.sqrt(errors[0] / errors[1]) > 11  # order 4: a factor 16, order 2: 4


def test_error_falls_with_the_cells_as_claimed() -> None:
    process = Linear([[-1.0, 0.5], [-0.5, -1.0]], [[0.1, 0], [0, 0.1]], [0, 0], [[0.2, 0], [0, 0.2]])
    errors = []
    for count in (96, 192):
        reference = FokkerPlanck(process, box=((-3, 3), (-3, 3)), cells=(count, count), step=0.02)
        errors.append(true_error(reference, process, 1.0))
    assert np.sqrt(errors[0] / errors[1]) > 6  # order 4 but for the step's own error: a factor 16


def test_double_well_relaxes_to_boltzmann() -> None:
    process = DoubleWell(barrier=1.0, temperature=0.5)
    reference = FokkerPlanck(process)
    states = torch.linspace(-1.6, 1.6, 400, dtype=torch.float64)[:, None]
    score = reference.score(states, 12.0)
    weight = torch.exp(-process.potential(states) / process.temperature)
    error = (weight * (score - process.stationary_score(states)).square()[:, 0]).sum()
    assert error / (weight * process.stationary_score(states).square()[:, 0]).sum() < 1e-5  # the default tolerance
    assert reference.error_estimate(12.0) < 1e-5
    early = reference.score(states, 0.3)  # the same states before relaxation: the test can tell them apart
    assert (weight * (early - process.stationary_score(states)).square()[:, 0]).sum() > 1e3 * error


def test_new_times_are_solved_with_the_old() -> None:
    reference = FokkerPlanck(LINEAR["ornstein-uhlenbeck"][0], cells=(64,))
    reference.prepare([1.0])
    reference.score(torch.zeros(1, 1), 0.1)
    reference.score(torch.zeros(1, 1), torch.tensor(0.1))
    assert reference.times == (0.1, 1.0)
    reference.prepare([0.0])
    assert len(reference.times) == 3


def test_prepare_from_takes_the_file_only_where_it_fits(tmp_path: Path) -> None:
    file, process = tmp_path / "well.nc", DoubleWell()
    first = FokkerPlanck(process, cells=(64,))
    first.prepare_from(file, [1.0, 2.0])
    written = file.read_bytes()
    again = FokkerPlanck(process, cells=(64,))
    again.prepare_from(file, [2.0])
    assert file.read_bytes() == written
    assert again.times == (1.0, 2.0)
    other = FokkerPlanck(process, cells=(96,))
    other.prepare_from(file, [2.0])
    assert FokkerPlanck.load(file, process).resolution[0] == (96,)


def test_density_of_a_line_has_its_units() -> None:
    line = FokkerPlanck(LINEAR["ornstein-uhlenbeck"][0], cells=(64,)).density(1.0)
    assert line.dims == ("x",)
    assert line.attrs["units"] == "m-1"


def test_repr_is_the_constructor_call() -> None:
    reference = FokkerPlanck(DoubleWell(), box=((-3, 3),), cells=(64,))
    assert eval(repr(reference)).__repr__() == repr(reference)


def test_progress_is_told() -> None:
    told: list[float] = []
    FokkerPlanck(DoubleWell(), cells=(64,), progress=told.append).prepare([1.0])
    assert sum(fraction == pytest.approx(1.0) for fraction in told) == 3
    assert min(told) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"box": ((1, -1),)}, r"`box` must give 1 pair.*\(\(1, -1\),\)"),
        ({"box": ((-1, 1), (-1, 1))}, "`box` must give 1 pair"),
        ({"cells": (30,)}, r"`cells` must give 1 multiple.*\(30,\)"),
        ({"cells": (64, 64)}, "`cells` must give 1 multiple"),
        ({"step": 0.1}, "`step` must be positive and finite and given together with `cells`; got 0.1"),
        ({"step": -0.1, "cells": (64,)}, "`step` must be positive"),
        ({"tolerance": 0.0}, "`tolerance` must be positive and finite; got 0"),
        ({"max_cells": 10}, "`max_cells` must be at least 512"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FokkerPlanck(DoubleWell(), **options)  # type: ignore[arg-type]


def test_bad_times_and_states_are_named() -> None:
    reference = FokkerPlanck(DoubleWell(), cells=(64,))
    with pytest.raises(ValueError, match=r"`times` must not be negative; got -1"):
        reference.prepare([-1.0])
    with pytest.raises(ValueError, match=r"`state` must have 1 components"):
        reference.score(torch.zeros(3, 2), 1.0)
    with pytest.raises(ValueError, match="nothing has been solved"):
        reference.save("unused.nc")


def test_four_dimensions_and_a_missing_density_are_refused() -> None:
    class Undescribed(Linear):
        def initial_log_density(self, state: Tensor) -> Tensor:
            return Process.initial_log_density(self, state)

    identity = torch.eye(4).tolist()
    with pytest.raises(ValueError, match=r"1 to 3 dimensions for a grid; Linear has 4\. Use the exact reference"):
        FokkerPlanck(Linear(identity, identity, [0.0] * 4, identity))
    with pytest.raises(NotImplementedError, match="initial_log_density"):
        FokkerPlanck(Undescribed([[-1.0]], [[1.0]], [0.0], [[1.0]]))


def test_drift_that_is_not_finite_is_placed_in_time() -> None:
    class Singular(Linear):
        def drift(self, state: Tensor, time: Tensor) -> Tensor:
            return torch.where(time > 0.5, torch.nan, -state)

    with pytest.raises(NumericalError, match=r"at time 0\.5"):
        FokkerPlanck(Singular([[-1.0]], [[1.0]], [0.0], [[1.0]])).prepare([1.0])


def test_a_box_too_small_and_a_tolerance_not_reached_are_told() -> None:
    process = LINEAR["ornstein-uhlenbeck"][0]
    with pytest.warns(UserWarning, match="outermost cells"), pytest.warns(UserWarning, match="the initial density"):
        FokkerPlanck(process, box=((-1, 1),), cells=(64,)).prepare([1.0])
    with pytest.warns(UserWarning, match="not to `tolerance` 1e-20"):
        FokkerPlanck(process, tolerance=1e-20, max_cells=512).prepare([1.0])


def test_one_rank_solves_for_all(
    in_ranks: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    solved, real = [], fokker_planck.refine

    def noted(*given: Any) -> Any:
        solved.append(given[3])
        return real(*given)

    monkeypatch.setattr(fokker_planck, "refine", noted)
    states = torch.linspace(-1, 1, 5, dtype=torch.float64).unsqueeze(-1)

    def scores(ranks: Communicator) -> tuple[Tensor, Tensor]:
        known, left = (FokkerPlanck(DoubleWell(), cells=(32,)) for _ in range(2))
        known.prepare([0.5, 1.0], ranks)
        left.prepare_from(tmp_path / f"{ranks.size}.nc", [0.5, 1.0], ranks)
        return known.score(states, 1.0), left.score(states, 1.0)

    first = None
    for size in (1, 2, 3):
        solved.clear()
        for pair in in_ranks(size, scores):
            first = pair[0] if first is None else first
            for found in pair:
                torch.testing.assert_close(found, first, rtol=0, atol=0)
        assert solved == [[0.5, 1.0]] * 2


def test_ranks_that_were_asked_for_other_times_before_agree(in_ranks: Callable[..., list[Any]]) -> None:
    def asked(ranks: Communicator) -> tuple[float, ...]:
        reference = FokkerPlanck(DoubleWell(), cells=(32,))
        if ranks.rank == 1:
            reference.score(torch.zeros(1, 1), 0.5)
        reference.prepare([0.5], ranks)
        return reference.times

    assert in_ranks(2, asked) == [(0.5,), (0.5,)]
