r"""The phi-functions of small matrices, with a fixed number of operations.

.. math:: \varphi_1(Z) = \sum_{n \ge 0} \frac{Z^n}{(n + 1)!} = \frac{e^Z - 1}{Z}, \qquad
          \varphi_2(Z) = \sum_{n \ge 0} \frac{Z^n}{(n + 2)!} = \frac{e^Z - 1 - Z}{Z^2}

A Taylor series answers for :math:`Z / 2^k`; doubling carries it to :math:`Z`:
:math:`\varphi_2 \leftarrow (\varphi_1^2 + 2 \varphi_2) / 4`, :math:`\varphi_1 \leftarrow (1 + e^Z) \varphi_1 / 2`,
:math:`e^Z \leftarrow (e^Z)^2`. Both numbers are fixed and not fitted to the matrix, so that a step branches on no data.

Source: Hochbruck and Ostermann, Exponential integrators (2010), section 2, for the functions; Skaflestad and Wright,
The scaling and modified squaring method for matrix functions related to the exponential (2009), for the doubling.
"""

import torch
from torch import Tensor

from simulations.integrators.matrix_action import multiply

__all__ = ["LARGEST_NORM", "phi_functions"]

LARGEST_NORM = 8.0
DOUBLINGS = 5
TERMS = {torch.float32: 7, torch.float64: 13}


def phi_functions(matrix: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return :math:`\varphi_1(Z)` and :math:`\varphi_2(Z)`.

    Arguments:
        matrix: :math:`Z`, shape ``(..., d, d)``, float32 or float64.

    Returns:
        Two matrices of the same shape.

    Error:
        Rounding: in float64 3e-15 of the largest entry up to a norm of ``LARGEST_NORM`` and 6e-14 at four times that,
        the room left for matrices larger than those looked at beforehand; in float32 2e-6 for both.
    """
    d = matrix.shape[-1]
    scaled = matrix.movedim((-2, -1), (0, 1)).contiguous() / 2**DOUBLINGS
    identity = torch.eye(d, dtype=matrix.dtype, device=matrix.device).reshape(d, d, *[1] * (matrix.ndim - 2))
    terms = TERMS[matrix.dtype]
    # Horner's rule: phi_2 = (1 + Z / 3 (1 + Z / 4 (1 + ...))) / 2.
    second = identity + scaled / (terms + 1)
    for n in range(terms, 2, -1):
        second = identity + multiply(scaled, second) / n
    second = second / 2
    first = identity + multiply(scaled, second)
    exponential = identity + multiply(scaled, first)
    for _ in range(DOUBLINGS):
        second = (multiply(first, first) + 2 * second) / 4
        first = (first + multiply(exponential, first)) / 2
        exponential = multiply(exponential, exponential)
    return first.movedim((0, 1), (-2, -1)), second.movedim((0, 1), (-2, -1))
