"""Path weights of special forms are those with a matrix for each path."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from physcore import Process, Variable
from physcore.low_rank import IdentityPlusLowRank
from physcore.score import Batch, PathWeightedDenoising
from physcore.score.path_weights.componentwise_riccati import COMPONENTWISE
from physcore.score.path_weights.dense_riccati import DENSE
from physcore.score.path_weights.drift_map import moments_carried, packed
from physcore.score.path_weights.low_rank_riccati import LOW_RANK
from physcore.small_matrices import UNROLLED
from simulations import DoubleWell, LogisticPrior, MixturePrior, OrnsteinUhlenbeck

PATHS, MANY = 6, 8


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(points: int) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, normal(points, MANY, seed=0).tolist()))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pulled(Process):
    """Linear drift that pulls harder along two directions."""

    variables = tuple(Variable(f"x{i}") for i in range(MANY))

    @property
    def matrix(self) -> IdentityPlusLowRank:
        basis = torch.linalg.qr(normal(MANY, 2, seed=3)).Q.unsqueeze(0)
        return IdentityPlusLowRank(torch.tensor([-0.5]).double(), torch.tensor([[-2.0, -1.0]]).double(), basis)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return state @ self.matrix.dense()[0].to(state)

    def noise(self, time: Tensor) -> Tensor:
        return 0.8 * torch.eye(MANY, dtype=torch.float64)

    def low_rank_jacobian(self, state: Tensor, time: Tensor) -> IdentityPlusLowRank:
        matrix = self.matrix
        parts = (matrix.rest, matrix.eigenvalues, matrix.basis)
        return IdentityPlusLowRank(*(part.to(state).expand(len(state), *part.shape[1:]) for part in parts))

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return torch.randn(paths, MANY, generator=generator)


def clock(step: float) -> Tensor:
    return torch.tensor([0.4, step], dtype=torch.float64).expand(PATHS, 2)


@pytest.mark.parametrize("d", [3, UNROLLED + 1])
def test_moments_after_a_linear_drift_are_those_of_its_matrix(d: int) -> None:
    drift = normal(d, d, seed=0) / d**0.5 - 2 * torch.eye(d)
    process = OrnsteinUhlenbeck(drift_matrix=drift.tolist(), noise_matrix=torch.eye(d).tolist())
    root, mean = normal(PATHS, d, d, seed=1), normal(PATHS, d, seed=2)
    covariance, moved = root @ root.mT, torch.eye(d) + 0.1 * drift + 0.005 * drift @ drift
    time, step = clock(0.1).T
    found, spread = moments_carried(process, mean, covariance.permute(1, 2, 0), time, step)
    torch.testing.assert_close(found, mean @ moved.T, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(spread.permute(2, 0, 1), moved @ covariance @ moved.T, rtol=1e-10, atol=1e-10)


def test_a_step_of_one_component_by_itself_is_that_with_a_matrix() -> None:
    vectors = normal(PATHS, 3, seed=1)
    columns = torch.cat([vectors, normal(PATHS, 1, seed=2).exp(), clock(0.05)], -1)
    arguments = (DoubleWell(), columns, torch.zeros(()), normal(PATHS, 2, seed=4))
    torch.testing.assert_close(COMPONENTWISE.step(*arguments), DENSE.step(*arguments), rtol=1e-12, atol=1e-12)


def test_components_that_each_move_by_themselves_do_not_feel_each_other() -> None:
    process, alone = LogisticPrior(data_points=data(3)), LogisticPrior(data_points=((0.0,), (1.0,)))
    columns = torch.cat([normal(PATHS, 3 * MANY, seed=1), normal(PATHS, MANY, seed=2).exp(), clock(0.05)], -1)
    normals = normal(PATHS, 2 * MANY, seed=4)
    together = COMPONENTWISE.step(process, columns, torch.zeros(()), normals)
    own = [*range(3, 4 * MANY, MANY), -2, -1]
    single = DENSE.step(alone, columns[:, own], torch.zeros(()), normals[:, 3::MANY])
    torch.testing.assert_close(together[:, own], single, rtol=1e-12, atol=1e-12)


def low_rank_and_dense(process: Process, step: float, variance: float) -> tuple[Tensor, Tensor]:
    """States and targets a step later, either way."""
    vectors = normal(PATHS, 3 * MANY, seed=1)
    jacobian = process.low_rank_jacobian(vectors[:, :MANY], clock(step)[:, 0])
    assert jacobian is not None
    rank = jacobian.basis.shape[-1]
    spread = jacobian.with_spectrum(variance * normal(PATHS, 1 + rank, seed=2).exp())
    normals = normal(PATHS, 2 * MANY, seed=4)
    held = [torch.cat([spread.spectrum, spread.basis.flatten(1)], -1), packed(spread.dense().permute(1, 2, 0)).T]
    ways = [
        way.step(process, torch.cat([vectors, each, clock(step)], -1), torch.zeros(()), normals)
        for way, each in zip((LOW_RANK, DENSE), held, strict=True)
    ]
    return ways[0][:, : 2 * MANY], ways[1][:, : 2 * MANY]


def test_a_step_of_a_linear_drift_of_low_rank_is_that_with_a_matrix() -> None:
    low_rank, dense = low_rank_and_dense(Pulled(), 0.05, variance=1.0)
    torch.testing.assert_close(low_rank, dense, rtol=1e-11, atol=1e-11)


def test_scores_are_carried_by_a_drift_of_low_rank_as_with_a_matrix_to_third_order() -> None:
    process = MixturePrior(prior_means=data(3), prior_width=1.5, data_points=data(3))
    errors = []
    for step in (0.02, 0.01):
        # So wide that there is no gain.
        low_rank, dense = low_rank_and_dense(process, step, variance=1e12)
        errors.append(float((low_rank - dense).detach().abs().amax()))
    assert errors[0] < 1e-5
    assert errors[1] < 0.15 * errors[0]


@pytest.mark.parametrize(
    "process",
    [LogisticPrior(data_points=data(3)), MixturePrior(prior_means=data(3), data_points=data(3))],
    ids=["componentwise", "low rank"],
)
def test_targets_of_many_components_are_unbiased(process: Process) -> None:
    paths, lag = 2000, 0.3
    state = process.sample_initial(paths, torch.Generator().manual_seed(1)).double()
    start = torch.full((paths,), 0.2, dtype=torch.float64)
    batch = Batch(state=state, start=start, time=start + lag)
    objective = PathWeightedDenoising(lag=lag, steps=24, targets=1)
    samples = objective.sampler(process)(batch, torch.Generator().manual_seed(5))
    assert samples.target is not None
    point, target = samples.state[:, 0], samples.target[:, 0]
    for factor, unbiased in ((1.0, True), (0.8, False)):
        # Stein's identity, over all components.
        balance = (factor * target * point.sin() + point.cos()).mean(-1)
        z = float(balance.mean() / balance.std()) * math.sqrt(paths)
        assert (abs(z) < 5) is unbiased
