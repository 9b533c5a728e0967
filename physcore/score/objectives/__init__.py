"""Training objectives, one a file, on one contract."""

from physcore.score.objectives.denoising import Denoising
from physcore.score.objectives.diffusion_score_matching import DiffusionScoreMatching
from physcore.score.objectives.euler_denoising import EulerDenoising
from physcore.score.objectives.exact_denoising import ExactDenoising
from physcore.score.objectives.generalized_sliced_score_matching import GeneralizedSlicedScoreMatching
from physcore.score.objectives.implicit_score_matching import ImplicitScoreMatching
from physcore.score.objectives.local_denoising import LocalDenoising
from physcore.score.objectives.mixture_denoising import MixtureDenoising
from physcore.score.objectives.objective import Batch, Objective, Sampler, Samples
from physcore.score.objectives.path_weighted_denoising import PathWeightedDenoising
from physcore.score.objectives.sliced_score_matching import SlicedScoreMatching

__all__ = [
    "Batch",
    "Denoising",
    "DiffusionScoreMatching",
    "EulerDenoising",
    "ExactDenoising",
    "GeneralizedSlicedScoreMatching",
    "ImplicitScoreMatching",
    "LocalDenoising",
    "MixtureDenoising",
    "Objective",
    "PathWeightedDenoising",
    "Sampler",
    "Samples",
    "SlicedScoreMatching",
]
