"""Maps against the matrices that their products stand for."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import physcore.transform
from physcore.transform import (
    AdditiveLogistic,
    Affine,
    Arctan,
    Bijection,
    Composition,
    FlowLayer,
    Inverted,
    Polar,
    Power,
    Selected,
    Tanh,
    flow_bijection,
)

Case = tuple[Bijection, Tensor]
EXACT = {"rtol": 1e-10, "atol": 1e-10}
PRODUCTS = ("push", "pull", "inverse_push", "inverse_pull")


def dense_jacobian(bijection: Bijection, state: Tensor) -> Tensor:
    return torch.stack([torch.func.jacrev(bijection.forward)(point) for point in state])


def dense_product(name: str, jacobian: Tensor, vector: Tensor) -> Tensor:
    matrix = torch.linalg.inv(jacobian) if name.startswith("inverse") else jacobian
    matrix = matrix.mT if name.endswith("pull") else matrix
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def normals(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_inverse_and_map_undo_each_other(case: Case) -> None:
    bijection, state = case
    image = bijection.forward(state)
    torch.testing.assert_close(bijection.inverse(image), state, **EXACT)
    torch.testing.assert_close(bijection.forward(bijection.inverse(image)), image, **EXACT)


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_is_that_with_the_matrix(case: Case, name: str) -> None:
    bijection, state = case
    vector = normals(*state.shape)
    expected = dense_product(name, dense_jacobian(bijection, state), vector)
    torch.testing.assert_close(getattr(bijection, name)(state, vector), expected, **EXACT)
    assert not torch.allclose(getattr(bijection, name)(state, vector), expected + 1e-6 * vector, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_by_autodiff_is_that_in_closed_form(case: Case, name: str) -> None:
    bijection, state = case
    vector = normals(*state.shape)
    generic = getattr(Bijection, name)(bijection, state, vector)
    torch.testing.assert_close(getattr(bijection, name)(state, vector), generic, **EXACT)


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_many_vectors_at_each_point_broadcast(case: Case, name: str) -> None:
    bijection, state = case
    vectors = normals(len(state), 3, state.shape[-1])
    product = getattr(bijection, name)
    together = product(state.unsqueeze(-2), vectors)
    for k in range(3):
        torch.testing.assert_close(together[:, k], product(state, vectors[:, k]), **EXACT)


def test_log_determinant_and_its_gradient(case: Case) -> None:
    bijection, state = case
    expected = torch.linalg.slogdet(dense_jacobian(bijection, state)).logabsdet
    torch.testing.assert_close(bijection.log_determinant(state), expected, **EXACT)
    slope = Bijection.log_determinant_gradient(bijection, state)
    torch.testing.assert_close(bijection.log_determinant_gradient(state), slope, **EXACT)


@pytest.mark.parametrize("batched", [False, True], ids=["one-noise", "noise-of-each-point"])
def test_hessian_contraction_is_the_sum_over_the_matrices(case: Case, batched: bool) -> None:
    bijection, state = case
    n, d = state.shape
    noise = normals(n, d, 2) if batched else normals(d, 2)
    hessian = torch.stack([torch.func.hessian(bijection.forward)(point) for point in state])
    spread = (noise @ noise.mT).expand(n, d, d)
    expected = torch.einsum("nkij,nij->nk", hessian, spread)
    torch.testing.assert_close(bijection.hessian_contraction(state, noise), expected, **EXACT)
    torch.testing.assert_close(Bijection.hessian_contraction(bijection, state, noise), expected, **EXACT)


def test_dtype_and_leading_shape_are_kept_and_input_is_untouched(case: Case) -> None:
    bijection, state = case
    for dtype in (torch.float32, torch.float64):
        points = state.to(dtype).reshape(2, -1, state.shape[-1])
        kept, vector = points.clone(), torch.ones_like(points)
        for value in (
            bijection.forward(points),
            bijection.log_determinant_gradient(points),
            bijection.hessian_contraction(points, torch.eye(points.shape[-1], dtype=dtype)),
            *(getattr(bijection, name)(points, vector) for name in PRODUCTS),
        ):
            assert value.shape == points.shape
            assert value.dtype == dtype
        assert bijection.log_determinant(points).shape == points.shape[:-1]
        assert torch.equal(points, kept)


def test_products_are_differentiable_in_the_point(case: Case) -> None:
    bijection, state = case
    vector = normals(*state.shape)
    for name in PRODUCTS:
        product = getattr(bijection, name)
        slopes = torch.func.jvp(lambda x, p=product: p(x, vector), (state,), (vector,))[1]
        step = 1e-5
        ahead, behind = (product(state + sign * step * vector, vector) for sign in (1, -1))
        torch.testing.assert_close(slopes, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-5)


def test_repr_is_the_constructor_call(case: Case) -> None:
    bijection, _ = case
    if "Shear" in repr(bijection):
        pytest.skip("no part of the package")
    names = {name: getattr(physcore.transform, name) for name in physcore.transform.__all__}
    assert eval(repr(bijection), names) == bijection


def test_chart_of_the_simplex_keeps_all_parts_positive_and_their_sum_one() -> None:
    chart = AdditiveLogistic()
    parts = chart.parts(chart.forward(normals(50, 4)))
    assert (parts > 0).all()
    torch.testing.assert_close(parts.sum(-1), torch.ones(50, dtype=torch.float64))
    outside = torch.tensor([[1.2, -0.1], [0.7, 0.5], [0.2, 0.3]], dtype=torch.float64)
    restored = chart.restore(outside, 1e-3)
    assert chart.image.contains(restored).all()
    torch.testing.assert_close(restored[2], outside[2])


def test_far_out_nothing_overflows() -> None:
    far = torch.tensor([[800.0, -800.0], [-800.0, 3.0]], dtype=torch.float64)
    assert AdditiveLogistic().log_determinant(far).isfinite().all()
    assert AdditiveLogistic().push(far, torch.ones_like(far)).isfinite().all()
    assert Tanh().log_determinant(far).isfinite().all()


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: Tanh(scale=2.0).inverse(torch.tensor([[0.1, 0.2], [2.5, 0.0]])), r"Tanh.inverse.*\(-2, 2\).*2\.5"),
        (lambda: Arctan().inverse(torch.tensor([1.6])), "Arctan.inverse"),
        (lambda: Power(exponent=0.5).forward(torch.tensor([0.5, -1.0])), "positive"),
        (lambda: AdditiveLogistic().inverse(torch.tensor([0.5, 0.6])), "sum below 1"),
        (lambda: Polar().forward(torch.zeros(3, 2)), "origin"),
        (lambda: Polar().inverse(torch.tensor([-1.0, 0.0])), "radius"),
        (lambda: Polar().forward(torch.zeros(3)), "2 components"),
        (lambda: Tanh().forward(torch.tensor([math.inf])), "finite"),
        (lambda: Inverted(bijection=Tanh()).forward(torch.tensor([1.5])), "Tanh.inverse"),
        (lambda: Composition(bijections=(Tanh(scale=3.0), Power())).forward(torch.tensor([-1.0])), "Power"),
        (lambda: Composition(bijections=(Polar(), Affine(matrix=[[1.0]]))), "same number"),
        (lambda: Selected(bijection=Polar(), components=(0, 1, 2)), "2, as many as the map has"),
        (lambda: Selected(bijection=Tanh(), components=(1, 1)), "different indices"),
        (lambda: Selected(bijection=Tanh(), components=(0, 2)).forward(torch.zeros(2)), "more than 2 components"),
        (lambda: Selected(bijection=Polar(), components=(0, 1)).forward(torch.zeros(4, 3)), "not the origin"),
        (lambda: Affine(matrix=[[1.0, 2.0], [2.0, 4.0]]), "invertible"),
        (lambda: Affine(matrix=[[1.0, 2.0]]), "square"),
        (lambda: Affine(matrix=[[1.0]], shift=[1.0, 2.0]), "`shift`"),
        (lambda: Affine(matrix=[[math.nan]]), "finite"),
        (lambda: Tanh(scale=0.0), "`scale`"),
        (lambda: Power(exponent=0.0), "`exponent`"),
        (lambda: AdditiveLogistic().restore(torch.tensor([0.5]), 0.6), "`margin`"),
        (lambda: FlowLayer(transform=torch.nn.ReLU()), "`inv`"),
        (lambda: flow_bijection(torch.nn.ReLU()), "`transform`"),
    ],
)
def test_d7_what_has_no_value_is_refused_with_the_reason(call: Callable[[], object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        call()


def test_the_image_of_a_chain_is_what_every_map_reaches() -> None:
    chain = Composition(bijections=(Tanh(), Affine(matrix=[[2.0, 0.0], [0.0, 1.0]]), Arctan()))
    bound = math.atan(2.0)
    state = torch.tensor([[bound - 1e-6, 0.0], [bound + 1e-6, 0.0], [0.0, 1.6], [math.nan, 0.0]], dtype=torch.float64)
    assert chain.image.contains(state).tolist() == [True, False, False, False]
    with pytest.raises(ValueError, match=r"Tanh\.inverse"):
        chain.inverse(state[1])
    assert Composition(bijections=chain.bijections[1:2]).image.contains(torch.full((2,), 1e9))


def test_nan_is_handed_on() -> None:
    assert Tanh().inverse(torch.tensor([math.nan])).isnan().all()
