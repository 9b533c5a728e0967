r"""The U-Net of images.

Residual blocks of convolutions on ever coarser grids and back, each grid on the way back joined with the same grid on
the way down; the embedded clock is added inside each block, and attention mixes all pixels of the coarsest grid. The
components are pixels :math:`x_{c, i, j}`, channel, row, column, the column running fastest.

Source: Ho, Jain and Abbeel, Denoising diffusion probabilistic models (2020), appendix B. Departs from it: attention on
the coarsest grid alone, as many blocks on the way up as down, no dropout, and a grid of odd size is halved upwards.
"""

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from physcore.score.networks.clock_embedding import ClockEmbedding
from physcore.score.networks.network import Architecture, Layout, Network, check_counts
from physcore.score.networks.self_attention import SelfAttention, check_heads

__all__ = ["UNet", "UNetNetwork"]


class ConvolutionBlock(nn.Module):
    """Two convolutions of normalised pixels with the embedded clock between them, added to what they were given.

    Arguments:
        inputs: Channels of the input.
        outputs: Channels of the output.
        embedding: Units of the embedded clock.
        groups: Groups of channels that are normalised together.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int, groups: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(groups, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.clock = nn.Sequential(nn.SiLU(), nn.Linear(embedding, outputs))
        self.second = nn.Sequential(nn.GroupNorm(groups, outputs), nn.SiLU(), nn.Conv2d(outputs, outputs, 3, padding=1))
        self.direct = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, image: Tensor, embedding: Tensor) -> Tensor:
        """Return an image, shape ``(batch, outputs, row, column)``, of one and an embedding, ``(batch, embedding)``."""
        hidden = self.first(image) + self.clock(embedding)[..., None, None]
        moved: Tensor = self.direct(image) + self.second(hidden)
        return moved


class PixelAttention(nn.Module):
    """Attention of every pixel to all pixels, added to what it was given.

    Arguments:
        channels: Channels of the image.
        heads: Number of heads.
        groups: Groups of channels that are normalised together.
    """

    def __init__(self, channels: int, heads: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        self.attention = SelfAttention(channels, heads)

    def forward(self, image: Tensor) -> Tensor:
        """Return an image of the same shape, ``(batch, channel, row, column)``."""
        mixed: Tensor = self.attention(self.norm(image).flatten(2).transpose(1, 2))
        return image + mixed.transpose(1, 2).reshape(image.shape)


class Coarsest(nn.Module):
    """The turn of the U: a block, attention, a block.

    Arguments:
        width: Channels.
        embedding: Units of the embedded clock.
        heads: Number of heads.
        groups: Groups of channels that are normalised together.
    """

    def __init__(self, width: int, embedding: int, heads: int, groups: int) -> None:
        super().__init__()
        self.before = ConvolutionBlock(width, width, embedding, groups)
        self.attention = PixelAttention(width, heads, groups)
        self.after = ConvolutionBlock(width, width, embedding, groups)

    def forward(self, image: Tensor, embedding: Tensor) -> Tensor:
        """Return an image of the same shape, ``(batch, channel, row, column)``."""
        moved: Tensor = self.after(self.attention(self.before(image, embedding)), embedding)
        return moved


class Grid(nn.Module):
    """One grid of the U with all that is coarser inside it.

    Arguments:
        inputs: Channels of the input.
        widths: Channels of this grid and of every coarser one.
        blocks: Blocks on the way down, and on the way up.
        embedding: Units of the embedded clock.
        heads: Number of heads of the attention.
        groups: Groups of channels that are normalised together.
    """

    def __init__(
        self, inputs: int, widths: Sequence[int], *, blocks: int, embedding: int, heads: int, groups: int
    ) -> None:
        super().__init__()
        width, *coarser = widths
        ways_down = [inputs, *[width] * (blocks - 1)]
        self.down = nn.ModuleList(ConvolutionBlock(channels, width, embedding, groups) for channels in ways_down)
        if coarser:
            self.shrink = nn.Conv2d(width, width, 3, stride=2, padding=1)
            self.inner: nn.Module = Grid(width, coarser, blocks=blocks, embedding=embedding, heads=heads, groups=groups)
            self.grow = nn.Conv2d(coarser[0], width, 3, padding=1)
        else:
            self.inner = Coarsest(width, embedding, heads, groups)
        self.up = nn.ModuleList(ConvolutionBlock(2 * width, width, embedding, groups) for _ in range(blocks))

    def forward(self, image: Tensor, embedding: Tensor) -> Tensor:
        """Return an image of the first of the widths, on the grid of the one that is given."""
        passed = []
        for block in self.down:
            image = block(image, embedding)
            passed.append(image)
        if isinstance(self.inner, Grid):
            coarse = self.inner(self.shrink(image), embedding)
            image = self.grow(functional.interpolate(coarse, size=image.shape[2:]))
        else:
            image = self.inner(image, embedding)
        for block in self.up:
            image = block(torch.cat([image, passed.pop()], 1), embedding)
        return image


class UNetNetwork(Network):
    """A U-Net whose last convolution starts at zero.

    Arguments:
        layout: What it is given and must return.
        shape: Channels, rows and columns of an image.
        width: Channels of the finest grid.
        multipliers: Channels of each grid as multiples of the width.
        blocks: Blocks of a grid on the way down, and on the way up.
        heads: Number of heads of the attention.
        groups: Groups of channels that are normalised together.

    Raises:
        ValueError: If the layout's components are not as many as the pixels.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        shape: tuple[int, int, int],
        width: int,
        multipliers: tuple[int, ...],
        blocks: int,
        heads: int,
        groups: int,
    ) -> None:
        super().__init__()
        if layout.components != math.prod(shape):
            raise ValueError(
                f"`shape` must hold the {layout.components} components of a state; {shape} holds {math.prod(shape)}."
            )
        self.shape = shape
        embedding = 4 * width
        widths = [width * multiplier for multiplier in multipliers]
        self.embedding = ClockEmbedding(layout.clock, embedding)
        self.first = nn.Conv2d(shape[0] * layout.channels, width, 3, padding=1)
        self.grid = Grid(width, widths, blocks=blocks, embedding=embedding, heads=heads, groups=groups)
        last = nn.Conv2d(widths[0], shape[0], 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.last = nn.Sequential(nn.GroupNorm(groups, widths[0]), nn.SiLU(), last)

    def forward(self, features: Tensor, clock: Tensor) -> Tensor:
        """Return the outputs; see ``Network.forward``."""
        # (batch, pixel, channel) -> (batch, image channel x channel, row, column)
        image = torch.unflatten(features, 1, self.shape).permute(0, 1, 4, 2, 3).flatten(1, 2)
        # Group normalisation takes a tangent, in forward mode, in the one memory layout alone.
        image = image.clone(memory_format=torch.contiguous_format)
        outputs: Tensor = self.last(self.grid(self.first(image), self.embedding(clock)))
        return outputs.flatten(1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class UNet(Architecture):
    """A U-Net, for states that are images or fields on a grid.

    Arguments:
        shape: Channels, rows and columns of an image; their product is the number of components. Any sizes.
        width: Channels of the finest grid.
        multipliers: Channels of each grid as multiples of the width, one for each halving and one before.
        blocks: Blocks of a grid on the way down, and on the way up.
        heads: Number of heads of the attention on the coarsest grid, a divisor of its channels.
        groups: Groups of channels that are normalised together, fewer than the width and a divisor of it.

    Raises:
        ValueError: If a number is not positive, or heads or groups do not divide the channels.
    """

    shape: tuple[int, int, int]
    width: int = 32
    multipliers: tuple[int, ...] = (1, 2, 2)
    blocks: int = 2
    heads: int = 4
    groups: int = 8

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or not self.multipliers:
            raise ValueError(
                "`shape` must be (channels, rows, columns) and `multipliers` must have an entry for each grid; "
                f"got {self.shape} and {self.multipliers}."
            )
        for name in ("shape", "multipliers"):
            for count in getattr(self, name):
                check_counts(**{name: count})
        check_counts(width=self.width, blocks=self.blocks, heads=self.heads, groups=self.groups)
        # Normalising a single number, one channel of a single pixel, would leave nothing of it.
        if self.width % self.groups or self.width == self.groups:
            raise ValueError(
                f"`width` must be a multiple of the {self.groups} groups, twice at least; got {self.width}."
            )
        check_heads(self.width * self.multipliers[-1], self.heads)

    def build(self, layout: Layout) -> UNetNetwork:
        """Return the network; see ``Architecture.build``."""
        return UNetNetwork(
            layout,
            shape=self.shape,
            width=self.width,
            multipliers=self.multipliers,
            blocks=self.blocks,
            heads=self.heads,
            groups=self.groups,
        )
