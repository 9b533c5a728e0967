"""Potentials: force and energy belong together; a part inside a part survives every way in and out."""

import dataclasses
import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor

import simulations
from physcore.registry import build, name_of, names, plain
from simulations import (
    AnharmonicPotential,
    CosinePotential,
    DoubleWellPotential,
    HarmonicPotential,
    MexicanHatPotential,
    MuellerBrownPotential,
    OverdampedLangevin,
    Potential,
    UnderdampedLangevin,
)

POTENTIALS: list[Potential] = [
    HarmonicPotential(stiffness=1.7, dimension=3),
    AnharmonicPotential(stiffness=-0.8, anharmonicity=1.3, dimension=3),
    DoubleWellPotential(barrier=2.0, minimum=0.7),
    MexicanHatPotential(barrier=1.5, radius=0.8),
    CosinePotential(amplitude=1.2, period=1.9, tilt=0.6),
    MuellerBrownPotential(scale=0.05),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sextic(Potential):
    """A user's own potential: its energy is all there is."""

    strength: float = 2.0

    @property
    def dimension(self) -> int:
        return 2

    def energy(self, position: Tensor) -> Tensor:
        return self.strength * position.pow(6).sum(-1)


def positions(potential: Potential, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return 0.8 * torch.randn(*shape, potential.dimension, generator=generator, dtype=dtype)


def test_every_registered_potential_is_among_the_tested() -> None:
    assert {name_of(type(potential)) for potential in POTENTIALS} == set(names("physcore.potentials"))


@pytest.mark.parametrize("potential", [*POTENTIALS, Sextic()], ids=lambda p: type(p).__name__)
class TestEveryPotential:
    def test_force_is_minus_the_slope_of_the_energy(self, potential: Potential) -> None:
        position, step = positions(potential, 40), 1e-5
        for i, direction in enumerate(step * torch.eye(potential.dimension, dtype=torch.float64)):
            slope = (potential.energy(position + direction) - potential.energy(position - direction)) / (2 * step)
            torch.testing.assert_close(potential.force(position)[..., i], -slope, rtol=1e-7, atol=1e-6)

    def test_force_equals_that_by_autodiff(self, potential: Potential) -> None:
        position = positions(potential, 40)
        torch.testing.assert_close(potential.force(position), Potential.force(potential, position))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize("shape", [(), (4,), (3, 2), (0,)], ids=str)
    def test_shape_and_dtype_are_those_of_the_positions(
        self, potential: Potential, shape: tuple[int, ...], dtype: torch.dtype
    ) -> None:
        position = positions(potential, *shape, dtype=dtype)
        energy, force = potential.energy(position), potential.force(position)
        assert (energy.shape, energy.dtype) == (shape, dtype)
        assert (force.shape, force.dtype) == (position.shape, dtype)

    def test_repr_is_the_constructor_call(self, potential: Potential) -> None:
        namespace = {name: getattr(simulations, name) for name in simulations.__all__} | {"Sextic": Sextic}
        assert eval(repr(potential), namespace) == potential

    def test_confinement_is_as_declared(self, potential: Potential) -> None:
        far = 5.0 * torch.eye(potential.dimension, dtype=torch.float64)
        grows = bool((potential.energy(far) > 20).all() and (potential.energy(-far) > 20).all())
        assert grows == potential.confining or isinstance(potential, CosinePotential | MuellerBrownPotential)


@pytest.mark.parametrize("potential", POTENTIALS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("kind", [OverdampedLangevin, UnderdampedLangevin], ids=lambda k: k.__name__)
def test_a_process_with_a_potential_survives_json_and_repr(kind: Any, potential: Potential) -> None:
    process = kind(potential=potential, temperature=0.3)
    parameters = json.loads(json.dumps(process.parameters))
    assert parameters["potential"]["name"] == name_of(type(potential))
    rebuilt = build("physcore.processes", name_of(kind) or "", parameters)
    assert rebuilt == process
    assert hash(rebuilt) == hash(process)
    assert eval(repr(process), {name: getattr(simulations, name) for name in simulations.__all__}) == process
    assert rebuilt != kind(potential=dataclasses.replace(potential, **_doubled(potential)), temperature=0.3)


def _doubled(potential: Potential) -> dict[str, float]:
    first = dataclasses.fields(potential)[0].name  # type: ignore[arg-type]
    return {first: 2 * getattr(potential, first)}


def test_a_potential_may_be_named_alone_or_given_ready() -> None:
    for given in ("double-well", {"name": "double-well"}, DoubleWellPotential()):
        built = build("physcore.processes", "underdamped-langevin", {"potential": given})
        assert built == UnderdampedLangevin(potential=DoubleWellPotential())
    built = build("physcore.processes", "underdamped-langevin", {"potential": {"name": "double-well", "barrier": 2}})
    assert built.potential == DoubleWellPotential(barrier=2.0)
    assert isinstance(built.potential.barrier, float)


@pytest.mark.parametrize(
    ("potential", "what"),
    [
        ({"name": "double-wel"}, "did you mean 'double-well'"),
        ({"name": "double-well", "barier": 1.0}, "did you mean 'barrier'"),
        ({"name": "double-well", "barrier": "high"}, "barrier"),
        ({"name": "double-well", "barrier": -1.0}, "barrier"),
        ({"barrier": 1.0}, "`potential` must be a mapping with a `name`, one of anharmonic"),
        ({"name": 3}, "`name`"),
        (3.0, "`potential`"),
        (None, "`potential`"),
    ],
    ids=str,
)
def test_d6_a_potential_that_cannot_be_is_refused_by_name(potential: object, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        build("physcore.processes", "underdamped-langevin", {"potential": potential})


def test_a_user_s_potential_drives_both_kinds_of_motion() -> None:
    state = torch.tensor([0.5, -0.4, 0.1, 0.2], dtype=torch.float64)
    force = -12 * state[:2] ** 5
    under, over = UnderdampedLangevin(potential=Sextic(), friction=0.5), OverdampedLangevin(potential=Sextic())
    time = torch.zeros(())
    torch.testing.assert_close(over.drift(state[:2], time), force)
    torch.testing.assert_close(under.drift(state, time), torch.cat([state[2:], force - 0.5 * state[2:]]))
    assert plain(Sextic()) == {"name": "Sextic", "strength": 2.0}
    expected = torch.diag(-60 * state[:2] ** 4)
    torch.testing.assert_close(over.jacobian(state[:2], time), expected)


def test_mueller_brown_has_the_published_wells_and_saddles() -> None:
    potential = MuellerBrownPotential()
    curvature = torch.func.hessian(potential.energy)
    wells = {(-0.558, 1.442): -146.70, (0.623, 0.028): -108.17, (-0.050, 0.467): -80.77}
    saddles = {(-0.822, 0.624): -40.66, (0.212, 0.293): -72.25}
    for places, descents in ((wells, 0), (saddles, 1)):
        for place, energy in places.items():
            position = torch.tensor(place, dtype=torch.float64)
            assert float(potential.energy(position)) == pytest.approx(energy, abs=5e-3)
            assert potential.force(position).abs().max() < 1.0
            assert int((torch.linalg.eigvalsh(curvature(position)) < 0).sum()) == descents


def test_wells_of_the_cosine_vanish_at_the_critical_tilt() -> None:
    turn = torch.linspace(0, 3, 301, dtype=torch.float64).unsqueeze(-1)
    critical = 2 * math.pi * 1.0 / 3.0
    assert (CosinePotential(period=3.0, tilt=1.01 * critical).force(turn) > 0).all()
    assert (CosinePotential(period=3.0, tilt=0.99 * critical).force(turn) < 0).any()


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (HarmonicPotential, "stiffness"),
        (AnharmonicPotential, "anharmonicity"),
        (DoubleWellPotential, "barrier"),
        (MexicanHatPotential, "radius"),
        (CosinePotential, "period"),
        (MuellerBrownPotential, "scale"),
    ],
)
def test_d7_a_parameter_that_is_not_positive_is_refused_by_name(kind: Any, name: str, bad: float) -> None:
    with pytest.raises(ValueError, match=f"`{name}`"):
        kind(**{name: bad})
