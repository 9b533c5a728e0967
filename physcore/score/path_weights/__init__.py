"""Unbiased targets along simulated paths, each way of weighing them in a file."""

from physcore.score.path_weights.gains import Gain, path_targets
from physcore.score.path_weights.path_targets import PathTargets, Starts
from physcore.score.path_weights.riccati_targets import FIRST_STEPS

__all__ = ["FIRST_STEPS", "Gain", "PathTargets", "Starts", "path_targets"]
