"""Training objectives, one a file, on one contract."""

from physcore.score.objectives.denoising import Denoising
from physcore.score.objectives.local_denoising import LocalDenoising
from physcore.score.objectives.objective import Batch, Objective, Sampler, Samples
from physcore.score.objectives.path_weighted_denoising import PathWeightedDenoising

__all__ = ["Batch", "Denoising", "LocalDenoising", "Objective", "PathWeightedDenoising", "Sampler", "Samples"]
