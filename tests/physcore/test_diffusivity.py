"""The diffusion matrix: applied, solved on its range, and the same from strengths as from a noise matrix."""

import pytest
import torch

from physcore import Process
from physcore.diffusivity import Diffusivity
from simulations import ActiveSwimmer, MovingTrap, OrnsteinUhlenbeck

CORRELATED = OrnsteinUhlenbeck(noise_matrix=((1.0, 0.5), (0.0, 0.8)))
DEGENERATE = OrnsteinUhlenbeck(drift_matrix=((-1.0, -1.0), (0.5, -0.7)), noise_matrix=((0.6,), (0.8,)))


@pytest.mark.parametrize("process", [CORRELATED, DEGENERATE, ActiveSwimmer(), MovingTrap(particles=3)], ids=repr)
def test_it_is_half_the_square_of_the_noise_and_its_pseudo_inverse(process: Process) -> None:
    time = torch.zeros((), dtype=torch.float64)
    noise = process.noise(time).double()
    matrix = 0.5 * noise @ noise.T
    vectors = torch.randn(5, process.dimension, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    diffusivity = Diffusivity.of(process, time)
    torch.testing.assert_close(diffusivity.apply(vectors), vectors @ matrix)
    torch.testing.assert_close(diffusivity.solve(vectors), vectors @ torch.linalg.pinv(matrix, rtol=1e-9))
    assert diffusivity.apply(vectors.float()).dtype == torch.float32


def test_reflection_turns_the_sign_of_what_joins_even_and_odd() -> None:
    diffusivity = Diffusivity.of(CORRELATED, torch.zeros((), dtype=torch.float64))
    reflected = diffusivity.reflected(torch.tensor([1.0, -1.0], dtype=torch.float64))
    expected = diffusivity.values * torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    torch.testing.assert_close(reflected.values, expected)
