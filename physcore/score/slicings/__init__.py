"""Random fields to compare scores along, one law a file, on one contract; diffusion matrices are among them."""

from physcore.score.slicings.diffusion_matrix import DiffusionMatrix
from physcore.score.slicings.elementwise_warp import ElementwiseWarp
from physcore.score.slicings.gradient_projection import GradientProjection
from physcore.score.slicings.inverse_jacobian import InverseJacobian
from physcore.score.slicings.inverse_metric import InverseMetric
from physcore.score.slicings.linear_projection import LinearProjection
from physcore.score.slicings.matrix_function import MatrixFunction
from physcore.score.slicings.quadratic_projection import QuadraticProjection
from physcore.score.slicings.random_fourier import RandomFourier
from physcore.score.slicings.slicing import Slicing, SlicingField
from physcore.score.slicings.tail_weight import TailWeight

__all__ = [
    "DiffusionMatrix",
    "ElementwiseWarp",
    "GradientProjection",
    "InverseJacobian",
    "InverseMetric",
    "LinearProjection",
    "MatrixFunction",
    "QuadraticProjection",
    "RandomFourier",
    "Slicing",
    "SlicingField",
    "TailWeight",
]
