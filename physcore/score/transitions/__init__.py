"""Gaussian transitions from a batch of states, one form of their covariances a file, on one contract."""

from physcore.score.transitions.componentwise import ComponentwiseTransition
from physcore.score.transitions.gaussian import DenseTransition, LocalTransition
from physcore.score.transitions.low_rank import LowRankTransition
from physcore.score.transitions.shared import SharedTransitions

__all__ = [
    "ComponentwiseTransition",
    "DenseTransition",
    "LocalTransition",
    "LowRankTransition",
    "SharedTransitions",
]
