r"""Symmetric matrices that are a multiple of the identity but for a few directions.

.. math:: M = a I + U\,\mathrm{diag}(b - a)\,U^T, \qquad
          g(M) = g(a) I + U\,\mathrm{diag}(g(b) - g(a))\,U^T

Products and functions of them cost as many operations as a few vectors have entries; the matrix is never made.
"""

import dataclasses

import torch
from torch import Tensor

__all__ = ["IdentityPlusLowRank"]


@dataclasses.dataclass(frozen=True)
class IdentityPlusLowRank:
    r"""A batch of such matrices.

    Arguments:
        rest: Eigenvalues :math:`a` of all other directions, shape ``(batch,)``.
        eigenvalues: Eigenvalues :math:`b`, shape ``(batch, k)``.
        basis: Directions :math:`U`, orthonormal columns, shape ``(batch, d, k)``. A column may be zero, for an
            eigenvalue that equals the rest.
    """

    rest: Tensor
    eigenvalues: Tensor
    basis: Tensor

    @classmethod
    def of_gram(cls, rest: Tensor, rows: Tensor, scale: Tensor) -> "IdentityPlusLowRank":
        r"""Return :math:`a I + c A^T A`.

        Arguments:
            rest: :math:`a`, shape ``(batch,)``.
            rows: :math:`A`, shape ``(batch, k, d)``.
            scale: :math:`c`, shape ``(batch,)``.
        """
        if rows.shape[-2] >= rows.shape[-1]:
            values, basis = torch.linalg.eigh(rows.mT @ rows)
            return cls(rest, rest.unsqueeze(-1) + scale.unsqueeze(-1) * values.clamp(min=0), basis)
        values, vectors = torch.linalg.eigh(rows @ rows.mT)
        # What rounding makes of a direction that is not there has none of its own.
        present = values > values[..., -1:] * rows.shape[-2] * torch.finfo(rows.dtype).eps
        values = torch.where(present, values, torch.zeros_like(values))
        size = torch.where(present, values, torch.ones_like(values)).rsqrt() * present
        basis = rows.mT @ (vectors * size.unsqueeze(-2))
        return cls(rest, rest.unsqueeze(-1) + scale.unsqueeze(-1) * values, basis)

    def scaled(self, factor: Tensor) -> "IdentityPlusLowRank":
        """Return the matrices times numbers of shape ``(batch,)``."""
        return IdentityPlusLowRank(factor * self.rest, factor.unsqueeze(-1) * self.eigenvalues, self.basis)

    @property
    def spectrum(self) -> Tensor:
        """All eigenvalues, that of the rest first, shape ``(batch, 1 + k)``."""
        return torch.cat([self.rest.unsqueeze(-1), self.eigenvalues], -1)

    def with_spectrum(self, spectrum: Tensor) -> "IdentityPlusLowRank":
        """Return the matrices of other eigenvalues in the same directions, shape ``(batch, 1 + k)``."""
        return IdentityPlusLowRank(spectrum[..., 0], spectrum[..., 1:], self.basis)

    def apply(self, vector: Tensor) -> Tensor:
        """Return the products with vectors, shape ``(batch, d)`` like them."""
        rest = self.rest.unsqueeze(-1)
        inside = torch.einsum("bdk,bd->bk", self.basis, vector) * (self.eigenvalues - rest)
        return rest * vector + torch.einsum("bdk,bk->bd", self.basis, inside)

    def dense(self) -> Tensor:
        """Return the matrices, shape ``(batch, d, d)``."""
        rest = self.rest[..., None, None]
        identity = torch.eye(self.basis.shape[-2], dtype=rest.dtype, device=rest.device)
        return rest * identity + (self.basis * (self.eigenvalues - rest.squeeze(-1)).unsqueeze(-2)) @ self.basis.mT
