"""Transition kernels: from a simulated state to the law of the state a lag later, one a file, on one contract."""

from physcore.score.kernels.euler import Euler
from physcore.score.kernels.exact import ExactTransition
from physcore.score.kernels.gaussian_closure import GaussianClosure
from physcore.score.kernels.kernel import Kernel, Transitions
from physcore.score.kernels.local_linear import LocalLinear

__all__ = ["Euler", "ExactTransition", "GaussianClosure", "Kernel", "LocalLinear", "Transitions"]
