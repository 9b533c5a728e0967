r"""Self-attention of tokens.

.. math:: \mathrm{softmax}\!\left(Q K^T / \sqrt{w}\right) V, \qquad [Q, K, V] = W h

Source: Vaswani et al., Attention is all you need (2017), equation 1.
"""

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

__all__ = ["SelfAttention", "check_heads"]


def check_heads(units: int, heads: int) -> None:
    """Refuse heads that do not divide the units of a token.

    Arguments:
        units: Units of a token.
        heads: Number of heads.

    Raises:
        ValueError: If the units are no multiple of the heads.
    """
    if units % heads:
        raise ValueError(f"`heads` must divide the {units} units of a token; got {heads}.")


class SelfAttention(nn.Module):
    """Attention of every token to all tokens, in several heads, without an order of the tokens.

    Arguments:
        width: Units :math:`w` of a token, all heads together.
        heads: Number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inward = nn.Linear(width, 3 * width)
        self.outward = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape, ``(batch, token, width)``."""
        # (batch, token, 3 width) -> query, key and value, each (batch, head, token, width of a head)
        query, key, value = self.inward(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no second derivative
            mixed = functional.scaled_dot_product_attention(query, key, value)
        gathered: Tensor = self.outward(mixed.transpose(1, 2).flatten(2))
        return gathered
