"""Training objectives, one a file, on one contract."""

from physcore.score.objectives.denoising import Denoising
from physcore.score.objectives.local_denoising import LocalDenoising
from physcore.score.objectives.objective import Batch, Objective, Sampler, Samples

__all__ = ["Batch", "Denoising", "LocalDenoising", "Objective", "Sampler", "Samples"]
