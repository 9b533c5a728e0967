"""Integration schemes, one a file."""

from simulations.integrators.baoab import BAOAB
from simulations.integrators.euler_maruyama import EulerMaruyama
from simulations.integrators.exact_linear import ExactLinear
from simulations.integrators.heun import Heun
from simulations.integrators.langevin_impulse import LangevinImpulse
from simulations.integrators.local_linearization import LocalLinearization
from simulations.integrators.scheme import Scheme
from simulations.integrators.sra1 import SRA1
from simulations.integrators.tamed_euler import TamedEuler
from simulations.integrators.weak_taylor import WeakTaylor

__all__ = [
    "BAOAB",
    "SRA1",
    "EulerMaruyama",
    "ExactLinear",
    "Heun",
    "LangevinImpulse",
    "LocalLinearization",
    "Scheme",
    "TamedEuler",
    "WeakTaylor",
]
