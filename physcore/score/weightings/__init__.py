"""Weightings of the loss, one a file, on one contract."""

from physcore.score.weightings.likelihood import Likelihood
from physcore.score.weightings.own_frame import OwnFrame
from physcore.score.weightings.perceptual import Perceptual
from physcore.score.weightings.uniform import Uniform
from physcore.score.weightings.weighting import Weighting

__all__ = ["Likelihood", "OwnFrame", "Perceptual", "Uniform", "Weighting"]
