"""The Stein kernel against its definition by derivatives, and its mean against closed forms."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from analysis.stein import (
    BaseKernel,
    FlowField,
    GaussianKernel,
    InverseMultiquadricKernel,
    MatrixField,
    MetricField,
    ScaledField,
    SteinFeatures,
    stein_matrix,
    stein_test,
)
from analysis.stein.fields import DiffusionField, field_of
from physcore.mixture import GaussianMixture
from physcore.transform import Affine, Arcsinh, Bijection, Composition

LAW = GaussianMixture(means=((0.0, 1.0, 0.0), (1.0, 0.0, -1.0)), width=0.8)
MAP = Composition(bijections=(Arcsinh(scale=1.3), Affine(matrix=[[1, 0.2, 0], [0.1, 1.5, 0.3], [0, -0.4, 0.8]])))
KERNELS = [InverseMultiquadricKernel(bandwidth=1.2, exponent=0.3), GaussianKernel(bandwidth=0.9)]
Points = Callable[[Tensor], Tensor]


def points(count: int, d: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(count, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matrices(x: Tensor) -> Tensor:
    """A field of two columns in three dimensions."""
    a, b, c = x.unbind(-1)
    first = torch.stack([1 + a**2, a * b, torch.cos(a)], -1)
    return torch.stack([first, torch.stack([b, 1 + b**2, b], -1)], -1) + 0.1 * torch.sin(c)[:, None, None]


def definition(kernel: BaseKernel, field: DiffusionField, place: Points, x: Tensor) -> Tensor:
    """Return div' div (p m k m'^T p') / (p p') at all pairs, by derivatives."""

    def density(a: Tensor) -> Tensor:
        return LAW.log_density(a[None])[0].exp()

    def matrix(a: Tensor) -> Tensor:
        return density(a) * field.columns(a[None])[0]

    def pair(a: Tensor, b: Tensor) -> Tensor:
        def inner(at: Tensor) -> Tensor:
            def whole(other: Tensor) -> Tensor:
                apart = place(at[None])[0] - place(other[None])[0]
                return kernel.profile(apart.square().sum())[0] * matrix(at) @ matrix(other).mT

            slopes = torch.func.jacfwd(whole)(b)
            return torch.einsum("ijj->i", slopes)

        return torch.func.jacfwd(inner)(a).diagonal().sum() / (density(a) * density(b))

    return torch.stack([torch.stack([pair(a, b) for b in x]) for a in x])


def unmoved(x: Tensor) -> Tensor:
    return x


FIELDS: dict[str, tuple[DiffusionField, Points]] = {
    "plain": (ScaledField(lengths=(1.0, 1.0, 1.0)), unmoved),
    "held": (ScaledField(lengths=(1.0, 1.0, 1.0), held=(0, 2)), unmoved),
    "lengths": (ScaledField(lengths=(0.5, 1.0, 2.0)), lambda x: x / torch.tensor([0.5, 1.0, 2.0])),
    "map": (FlowField(bijection=MAP), MAP.forward),
    "map, kernel of x": (FlowField(bijection=MAP, pulled_back=False), unmoved),
    "function": (MatrixField(function=matrices), unmoved),
    "metric": (MetricField(metric=lambda x: torch.eye(3) * (1 + x.square().sum(-1))[:, None, None]), unmoved),
}


@pytest.mark.parametrize("kernel", KERNELS, ids=["inverse multiquadric", "gaussian"])
@pytest.mark.parametrize("name", FIELDS)
def test_it_is_its_definition(name: str, kernel: BaseKernel) -> None:
    field, place = FIELDS[name]
    x = points(3)
    features = field.features(x, LAW.score(x))
    expected = definition(kernel, field, place, x)
    torch.testing.assert_close(stein_matrix(kernel, features, features), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["map", "function"])
def test_pairs_alone_are_entries_of_the_matrix(name: str) -> None:
    x = points(5)
    features = FIELDS[name][0].features(x, LAW.score(x))
    matrix = stein_matrix(KERNELS[0], features, features)
    early, late = features.part(slice(0, 4)).paired(), features.part(slice(1, 5)).paired()
    torch.testing.assert_close(stein_matrix(KERNELS[0], early, late).flatten(), matrix.diagonal(1))
    torch.testing.assert_close(matrix, matrix.mT)


@pytest.mark.parametrize("name", ["plain", "function"])
def test_points_far_from_zero_lose_no_digits(name: str) -> None:
    x, kernel = points(40), GaussianKernel(bandwidth=0.9)
    features = FIELDS[name][0].features(x, LAW.score(x))
    frames = None if features.frames is None else features.frames.float()
    far = SteinFeatures((features.points.float() + 2.0**12), features.scores.float(), frames)
    # To 2^-11 the points can be told apart there.
    near = SteinFeatures(far.points.double() - 2.0**12, features.scores, features.frames)
    expected, size = stein_matrix(kernel, near, near), 1 + near.scores.abs().amax() ** 2
    assert float((stein_matrix(kernel, far, far) - expected).abs().max() / size) < 1e-4


def test_features_of_two_fields_are_refused() -> None:
    x = points(3)
    plain, framed = (FIELDS[name][0].features(x, LAW.score(x)) for name in ("plain", "function"))
    with pytest.raises(ValueError, match="features of one field"):
        stein_matrix(KERNELS[0], plain, framed)


@pytest.mark.parametrize("d", [1, 3])
def test_a_shifted_normal_law_has_its_closed_form(d: int) -> None:
    """From N(m, I) the score of N(0, I) is off by m, so that the squared discrepancy is |m|^2 E[k]."""
    length, shift = 1.5, 0.4
    x = shift + points(4000, d)
    test = stein_test(SteinFeatures(x, -x), GaussianKernel(bandwidth=length))
    expected = d * shift**2 * (length**2 / (length**2 + 2)) ** (d / 2)
    assert abs(test.value - expected) < 4 * test.standard_error
    assert test.standard_error < 0.08 * expected


def test_a_wider_normal_law_has_its_closed_form() -> None:
    length, factor = 1.5, 1.6
    x = points(4000, 1)
    test = stein_test(SteinFeatures(x, -factor * x), GaussianKernel(bandwidth=length))
    mean = length / (length**2 + 2) ** 0.5
    expected = (1 - factor) ** 2 * mean * (1 - mean**2) / 2
    assert abs(test.value - expected) < 4 * test.standard_error
    assert test.standard_error < 0.15 * expected


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: GaussianKernel(bandwidth=0.0), "`bandwidth`"),
        (lambda: InverseMultiquadricKernel(exponent=1.5), "`exponent`"),
        (lambda: GaussianKernel().length, "not chosen"),
        (lambda: GaussianKernel().fitted(torch.zeros(9, 2)), "median distance"),
        (lambda: MatrixField(function=lambda x: x).columns(points(4)), "matrices of shape"),
        (lambda: MetricField(metric=lambda x: -torch.eye(3).expand(4, 3, 3)).columns(points(4)), "positive definite"),
    ],
    ids=["bandwidth", "exponent", "no bandwidth", "equal points", "no matrices", "no metric"],
)
def test_bad_input_is_refused(make: Callable[[], object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


def test_only_a_field_or_a_map_gives_a_field() -> None:
    bijection: Bijection = Arcsinh()
    assert isinstance(field_of(bijection), FlowField)
    with pytest.raises(TypeError, match="`field`"):
        field_of(3)  # type: ignore[arg-type]
