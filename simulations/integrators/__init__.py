"""Integration schemes, one a file."""

from simulations.integrators.euler_maruyama import EulerMaruyama
from simulations.integrators.scheme import Scheme

__all__ = ["EulerMaruyama", "Scheme"]
