"""Parametrisations of scores, one a file, on one contract."""

from physcore.score.parametrizations.direct import Direct, DirectScore
from physcore.score.parametrizations.gaussian_residual import GaussianResidual, GaussianResidualScore
from physcore.score.parametrizations.local import Local, LocalScore
from physcore.score.parametrizations.mapped import Mapped, MappedScore
from physcore.score.parametrizations.noise_prediction import NoisePrediction, NoisePredictionScore
from physcore.score.parametrizations.parametrization import Parametrization
from physcore.score.parametrizations.prior_residual import PriorResidual, PriorResidualScore

__all__ = [
    "Direct",
    "DirectScore",
    "GaussianResidual",
    "GaussianResidualScore",
    "Local",
    "LocalScore",
    "Mapped",
    "MappedScore",
    "NoisePrediction",
    "NoisePredictionScore",
    "Parametrization",
    "PriorResidual",
    "PriorResidualScore",
]
