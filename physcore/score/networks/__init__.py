"""Networks behind the learned scores, one a file."""

from physcore.score.networks.mlp import MLP

__all__ = ["MLP"]
