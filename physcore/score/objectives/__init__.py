"""Training objectives, one a file, on one contract."""

from physcore.score.objectives.local_denoising import LocalDenoising
from physcore.score.objectives.objective import Batch, Objective

__all__ = ["Batch", "LocalDenoising", "Objective"]
