"""Attention: permuting the particles permutes the output."""

import pytest
import torch
from torch import Tensor

from physcore.particles import particle_components, stored_variables
from physcore.process import Process, Variable
from physcore.score.networks import Architecture, Attention, Layout, Network, Potential, ResidualMLP

PARTICLES, LAYOUT = 5, Layout(components=10, channels=2, clock=3, particles=5)
SMALL = Attention(width=16, heads=2)


def built(architecture: Architecture) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return architecture.build(LAYOUT).double()


def largest_violation(network: Network) -> float:
    """Return how far the output of permuted particles is from the permuted output, relative to the output."""
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(7, 10, 2, generator=generator, dtype=torch.float64)
    clock = torch.rand(7, 3, generator=generator, dtype=torch.float64)
    order = torch.tensor([3, 0, 4, 1, 2])
    components = torch.cat([order, PARTICLES + order])
    outputs: Tensor = network(features, clock).detach()
    violation = network(features[:, components], clock).detach() - outputs[:, components]
    return float(violation.abs().max() / outputs.abs().max())


@pytest.mark.parametrize("architecture", [SMALL, Potential(network=SMALL)], ids=["attention", "its-potential"])
def test_permuted_particles_give_the_permuted_output(architecture: Architecture) -> None:
    assert largest_violation(built(architecture)) < 1e-12


def test_a_network_without_the_symmetry_is_noticed() -> None:
    assert largest_violation(built(ResidualMLP(width=16))) > 0.1


def test_particles_see_each_other() -> None:
    network, features = built(SMALL), torch.zeros(1, 10, 2, dtype=torch.float64)
    moved = features.clone()
    moved[0, 0] = 1.0  # the first variable of particle 0
    change = (network(moved, torch.zeros(1, 3).double()) - network(features, torch.zeros(1, 3).double()))[0]
    assert (change.abs() > 1e-6).all()
    torch.testing.assert_close(change[1:5], change[1].expand(4))


def test_components_are_laid_out_as_those_of_a_process_of_particles() -> None:
    class Pair(Process):
        particles, particle_variables = PARTICLES, (Variable("x"), Variable("v"))
        variables = particle_components(particle_variables, particles)

        def drift(self, state: Tensor, time: Tensor) -> Tensor:
            return -state

        def noise(self, time: Tensor) -> Tensor:
            return torch.eye(10)

        def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
            return torch.zeros(paths, 10)

    of_particle = [[stored.components.start + i for stored in stored_variables(Pair())] for i in range(PARTICLES)]
    seen: list[Tensor] = []
    network = built(SMALL)
    network.get_submodule("first").register_forward_hook(lambda module, given, result: seen.append(given[0]))
    features = torch.arange(20.0, dtype=torch.float64).reshape(1, 10, 2)
    network(features, torch.zeros(1, 3, dtype=torch.float64))
    torch.testing.assert_close(seen[0][0], features[0, torch.tensor(of_particle)].flatten(1))


def test_components_that_are_no_particles_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must have `particles`.*Use MLP or ResidualMLP"):
        Attention().build(Layout(components=4, channels=1, clock=1))
