"""Networks behind the learned scores, one a file, on one contract."""

from physcore.score.networks.attention import Attention, AttentionNetwork
from physcore.score.networks.mlp import MLP, MLPNetwork
from physcore.score.networks.network import Architecture, Layout, Network
from physcore.score.networks.potential import Potential, PotentialNetwork
from physcore.score.networks.residual_mlp import ResidualMLP, ResidualMLPNetwork
from physcore.score.networks.u_net import UNet, UNetNetwork

__all__ = [
    "MLP",
    "Architecture",
    "Attention",
    "AttentionNetwork",
    "Layout",
    "MLPNetwork",
    "Network",
    "Potential",
    "PotentialNetwork",
    "ResidualMLP",
    "ResidualMLPNetwork",
    "UNet",
    "UNetNetwork",
]
