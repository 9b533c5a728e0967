"""A multilayer perceptron."""

from torch import Tensor, nn

__all__ = ["MLP"]


class MLP(nn.Sequential):
    """Linear layers with SiLU between them, the last one started near zero.

    Arguments:
        inputs: Number of input features.
        outputs: Number of outputs.
        width: Units of a hidden layer.
        depth: Number of hidden layers.
    """

    def __init__(self, inputs: int, outputs: int, *, width: int = 64, depth: int = 3) -> None:
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(inputs, width), nn.SiLU()]
            inputs = width
        last = nn.Linear(inputs, outputs)
        nn.init.zeros_(last.bias)
        last.weight.data.mul_(0.1)
        super().__init__(*layers, last)

    def forward(self, features: Tensor) -> Tensor:
        """Return the outputs, shape ``(batch, outputs)``, for features of shape ``(batch, inputs)``."""
        outputs: Tensor = super().forward(features)  # type: ignore[no-untyped-call]
        return outputs
