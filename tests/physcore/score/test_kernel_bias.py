"""The error of the exact minimiser of local denoising, by quadrature and without a network."""

import functools

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis import FokkerPlanck
from physcore import Process, Variable
from physcore.mixture import GaussianMixture
from physcore.score import Euler, Kernel, LocalLinear
from simulations import ActiveSwimmer

PRIOR = GaussianMixture(means=((-1.5,), (1.5,)), width=0.5)


class MixtureLangevin(Process):
    """Langevin dynamics of a mixture of two Gaussians, dx = (1/2) grad log pi dt + dW, from N(0.3, 0.6^2)."""

    variables = (Variable("x"),)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return 0.5 * PRIOR.score(state)

    def noise(self, time: Tensor) -> Tensor:
        return torch.ones(1, 1, dtype=torch.float64)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return 0.3 + 0.6 * torch.randn(paths, 1, generator=generator, dtype=torch.float64)


GRID = torch.linspace(-5, 5, 2001, dtype=torch.float64)
SPACING = float(GRID[1] - GRID[0])


@functools.cache
def modes() -> tuple[Tensor, Tensor, Tensor]:
    """Root of the prior, eigenvalues and eigenvectors of the symmetrised generator on the grid, in detailed balance."""
    root = (0.5 * PRIOR.log_density(GRID.unsqueeze(-1))).exp()
    forward, back = 0.5 / SPACING**2 * root[1:] / root[:-1], 0.5 / SPACING**2 * root[:-1] / root[1:]
    leaving = torch.nn.functional.pad(forward, (0, 1)) + torch.nn.functional.pad(back, (1, 0))
    hop = torch.full((len(GRID) - 1,), 0.5 / SPACING**2, dtype=torch.float64)
    rates, vectors = torch.linalg.eigh(torch.diag(hop, 1) + torch.diag(hop, -1) - torch.diag(leaving))
    return root, rates, vectors


def law(time: float) -> Tensor:
    """The density on the grid."""
    root, rates, vectors = modes()
    start = torch.exp(-((GRID - 0.3) ** 2) / (2 * 0.36)) / (0.6 * (2 * torch.pi) ** 0.5)
    return root * (vectors @ (torch.exp(rates * time) * (vectors.T @ (start / root))))


def minimiser_error(kernel: Kernel, lag: float) -> float:
    """The relative L2 error at t = 1 of the score of the law that the kernel makes of the law a lag before."""
    density, early = law(1.0), law(1.0 - lag)
    (slope,) = torch.gradient(density, spacing=SPACING)
    times = torch.full_like(GRID, 1.0 - lag)
    transition = kernel.of(MixtureLangevin())(GRID.unsqueeze(-1), times, torch.full_like(GRID, lag))
    variance = transition.factor[0, 0] ** 2
    offset = (GRID.unsqueeze(-1) - transition.mean[0]) / variance
    parts = torch.exp(-0.5 * offset**2 * variance) / variance.sqrt() * early
    known = density > 1e-12
    score, made = slope / density, -(parts * offset).sum(-1) / parts.sum(-1)
    return float((density * (made - score) ** 2)[known].sum() / (density * score**2)[known].sum()) ** 0.5


# Euler's and the first-order kernel, converged in the grid to half a percent. An earlier table, of which the law of the
# start was not written down, had 0.335, 0.066; 0.118, 0.043; 0.042, 0.022; 0.017, 0.013; 0.0072, 0.0067. N(0.3, 0.6^2)
# was found by a search to give these but for one in the last digit at lag 0.02; other laws near it come within 5 %.
TABLE = {
    0.32: (0.3354, 0.0664),
    0.16: (0.1184, 0.0426),
    0.08: (0.0417, 0.0223),
    0.04: (0.0171, 0.0128),
    0.02: (0.00726, 0.00662),
}


@pytest.mark.parametrize("lag", TABLE)
def test_errors_of_a_mixture_s_langevin_process(lag: float) -> None:
    for kernel, expected in zip((Euler(), LocalLinear()), TABLE[lag], strict=True):
        assert minimiser_error(kernel, lag) == pytest.approx(expected, rel=0.01)


def test_the_first_order_kernel_allows_lags_several_times_as_long_as_euler_s() -> None:
    assert minimiser_error(LocalLinear(), 0.32) < minimiser_error(Euler(), 0.12)


TIME, STRIDE = 3.0, 10
SWIMMER = {0.1: (0.0018, 0.0015), 0.2: (0.0081, 0.0075), 0.4: (0.0327, 0.0340)}
# An earlier table: 0.0020, 0.0029; 0.0084, 0.0084; 0.065, 0.040. Its solver left 0.002 in the driven component at any
# lag. Its error at 0.4 is too large, twice in the undriven component: a million simulated states, in two halves whose
# product has no noise, give 0.034 +- 0.0025 and 0.036 +- 0.002.


@functools.cache
def swimmer_reference() -> FokkerPlanck:
    reference = FokkerPlanck(ActiveSwimmer(friction=0.1, temperature=1.0), cells=(1024, 512))
    reference.prepare([*(TIME - lag for lag in SWIMMER), TIME])
    return reference


def on_cells(time: float, stride: int, least: float) -> tuple[Tensor, Tensor]:
    """Return centres of every so many cells of the reference, and densities there, where these are not too small."""
    density = swimmer_reference().density(time)
    part = density.isel(x=slice(stride // 2, None, stride), v=slice(stride // 2, None, stride))
    points = np.stack(np.meshgrid(part["x"], part["v"], indexing="ij"), -1).reshape(-1, 2)
    values = torch.from_numpy(part.values.flatten())
    kept = values > least * float(density.max())
    return torch.from_numpy(points)[kept], values[kept]


@pytest.mark.parametrize("lag", SWIMMER)
def test_errors_of_the_swimmer(lag: float) -> None:
    points, weights = on_cells(TIME, STRIDE, 1e-6)
    score = swimmer_reference().score(points, TIME)
    starts, density = on_cells(TIME - lag, 1, 1e-8)
    times = torch.full((len(starts),), TIME - lag, dtype=torch.float64)
    transition = LocalLinear().of(ActiveSwimmer(friction=0.1, temperature=1.0))(
        starts, times, torch.full_like(times, lag)
    )
    mean, ((width, _), (shear, breadth)) = transition.mean, transition.factor
    made = []
    for some in torch.split(points, 64):
        first = (some[:, :1] - mean[0]) / width
        second = (some[:, 1:] - mean[1] - shear * first) / breadth
        weight = torch.softmax((density / (width * breadth)).log() - 0.5 * (first**2 + second**2), -1)
        driven = -second / breadth
        undriven = -(first + shear * driven) / width
        made.append(torch.stack([(weight * part).sum(-1) for part in (undriven, driven)], -1))
    mass = weights.unsqueeze(-1)
    errors = ((mass * (torch.cat(made) - score) ** 2).sum(0) / (mass * score**2).sum(0)).sqrt()
    assert errors.tolist() == pytest.approx(SWIMMER[lag], rel=0.05)
