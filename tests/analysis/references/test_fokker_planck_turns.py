"""The grid reference on components that close on themselves, in one, two and three dimensions."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.references.fokker_planck import FokkerPlanck
from physcore.process import Process, Variable
from simulations.processes.active_brownian_particle import ActiveBrownianParticle
from simulations.processes.tilted_ring import TiltedRing

TURN = {"theta": 2 * math.pi}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spinning(Process):
    """An angle that turns and diffuses, beside springs: wrapped normal times Gaussians."""

    springs: int = 0
    torque: float = 2.0
    start: float = 2.5
    spread: float = 1.2

    @property
    def variables(self) -> tuple[Variable, ...]:  # type: ignore[override]
        return (Variable("theta"), *(Variable(f"x{i}") for i in range(self.springs)))

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return torch.cat([torch.full_like(state[..., :1], self.torque), -state[..., 1:]], -1)

    def noise(self, time: Tensor) -> Tensor:
        return 0.7 * torch.eye(1 + self.springs, dtype=torch.float64)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        normal = torch.randn(paths, 1 + self.springs, dtype=torch.float64, generator=generator)
        return torch.cat([self.start + self.spread * normal[:, :1], 0.5 * normal[:, 1:]], -1)

    def initial_log_density(self, state: Tensor) -> Tensor:
        angle = torch.distributions.Normal(self.start, self.spread).log_prob(state[..., 0])  # type: ignore[no-untyped-call]
        springs = torch.distributions.Normal(0.0, 0.5).log_prob(state[..., 1:])  # type: ignore[no-untyped-call]
        total: Tensor = angle + springs.sum(-1)
        return total

    def exact_score(self, state: Tensor, time: float) -> Tensor:
        turns = 2 * math.pi * torch.arange(-6.0, 7.0, dtype=torch.float64)
        offset = state[..., :1] - self.start - self.torque * time + turns
        variance = self.spread**2 + 0.49 * time
        weights = torch.softmax(-(offset**2) / (2 * variance), -1)
        along = -(weights * offset).sum(-1, keepdim=True) / variance
        spring = 0.25 * math.exp(-2 * time) + 0.245 * (1 - math.exp(-2 * time))
        return torch.cat([along, -state[..., 1:] / spring], -1)


@pytest.mark.parametrize(("springs", "count", "tolerance"), [(0, 64, 1e-8), (1, 64, 1e-6), (2, 40, 1e-4)])
def test_wrapped_law_of_a_spinning_angle(springs: int, count: int, tolerance: float) -> None:
    process, time = Spinning(springs=springs), 1.5
    reference = FokkerPlanck(process, cells=(count,) * (1 + springs), periods=TURN)
    generator = torch.Generator().manual_seed(1)
    states = process.sample_initial(4000, generator)
    states[:, 0] = 40 * torch.rand(4000, dtype=torch.float64, generator=generator) - 20  # any turn
    score, exact = reference.score(states, time), process.exact_score(states, time)
    assert torch.isfinite(score).all()
    error = float((score - exact)[:, 0].square().mean() / exact[:, 0].square().mean())
    assert error < tolerance
    assert abs(reference.mass(time) - 1) < 1e-7
    assert reference.density(time)["theta"].values.min() == pytest.approx(-math.pi * (1 - 1 / count))
    unwrapped = FokkerPlanck(process, cells=(count,) * (1 + springs))
    if springs < 2:
        assert float((unwrapped.score(states[:50], time) - exact[:50]).nan_to_num(9).square().mean()) > 1e-2


def test_stationary_law_of_a_tilted_ring() -> None:
    process = TiltedRing()
    reference = FokkerPlanck(process, cells=(128,), periods=TURN)
    states = torch.linspace(-math.pi, 3 * math.pi, 400, dtype=torch.float64)[:, None]
    exact = process.stationary_score(states)
    error = (reference.score(states, math.inf) - exact).square().mean() / exact.square().mean()
    assert error < 5e-6
    current = process.drift(states, torch.zeros(())) - 0.5 * process.noise(torch.zeros(())).square() * exact
    density = reference.log_density(states, math.inf).exp()
    flow = (density * current[:, 0]).numpy()  # the same everywhere, the mean velocity over a turn
    np.testing.assert_allclose(flow, process.mean_velocity / (2 * math.pi), rtol=2e-3)


def test_moments_of_an_active_brownian_particle_whose_heading_goes_around() -> None:
    process, time = ActiveBrownianParticle(rotational_diffusivity=0.6, initial_spread=0.8), 1.5
    reference = FokkerPlanck(process, cells=(40, 40, 40), periods=TURN)
    density = reference.density(time)
    axes = (density[name].values for name in density.dims)
    points = torch.from_numpy(np.stack(np.meshgrid(*axes, indexing="ij"), -1))
    weights = torch.from_numpy(density.values) / density.values.sum()
    for moment in process.known_moments:
        mean, exact = float((weights * moment.observable(points)).sum()), float(moment.expectation(torch.tensor(time)))
        assert mean == pytest.approx(exact, rel=2e-3), moment.name
    assert reference.error_estimate(time) < 5e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"periods": {"phi": 1.0}}, "`periods` must name components of the process, theta; got 'phi'"),
        ({"periods": {"theta": -1.0}}, "`periods` must be positive and finite; got -1.0 for 'theta'"),
        ({"periods": TURN, "box": ((0.0, 3.0),)}, "`box` must span one period"),
    ],
)
def test_bad_periods_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FokkerPlanck(TiltedRing(), **options)  # type: ignore[arg-type]


def test_a_period_that_the_drift_has_not_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`periods` must be those of the drift.*3\.1"):
        FokkerPlanck(TiltedRing(), cells=(64,), periods={"theta": 3.1}).prepare([1.0])
