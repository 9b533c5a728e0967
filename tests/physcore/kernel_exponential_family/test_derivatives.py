"""Closed-form kernels and derivatives against autodiff of the written-out density."""

import pytest
import torch
from torch import Tensor

from physcore.kernel_exponential_family import (
    DeepKernelExponentialFamily,
    ExactFamilyMatching,
    FamilyObjective,
    SlicedFamilyMatching,
)
from physcore.kernel_exponential_family.directions import Directions
from physcore.score.slicings import (
    DiffusionMatrix,
    ElementwiseWarp,
    LinearProjection,
    QuadraticProjection,
    RandomFourier,
    Slicing,
    SlicingField,
    TailWeight,
)
from physcore.transform import Arcsinh

EXACT = {"rtol": 1e-10, "atol": 1e-10}
WARP = ElementwiseWarp(bijection=Arcsinh(scale=0.7))
SLICINGS: dict[str, Slicing] = {
    "linear": LinearProjection(),
    "warp": WARP,
    "quadratic": QuadraticProjection(),
    "waves": RandomFourier(frequency=0.3),
}


def features(family: DeepKernelExponentialFamily, j: int, x: Tensor) -> Tensor:
    kernels = family.kernels
    inner = x
    for k, weight in enumerate(kernels.weights):
        inner = inner @ weight[j]
        if k < len(kernels.biases):
            inner = torch.log1p(torch.exp(inner + kernels.biases[k][j]))
    return inner + x @ kernels.skip[j]


def kernel(family: DeepKernelExponentialFamily, x: Tensor) -> Tensor:
    """The mixture at one point and all centres, written out."""
    weights = torch.softmax(family.kernels.mixture, 0)
    total = torch.zeros_like(family.inducing[:, 0])
    for j, log_width in enumerate(family.kernels.log_widths):
        apart = features(family, j, x) - features(family, j, family.inducing)
        total = total + weights[j] * torch.exp(-apart.square().sum(-1) / (2 * 10**log_width))
    return total


def log_density(family: DeepKernelExponentialFamily, x: Tensor) -> Tensor:
    return kernel(family, x) @ family.coefficients - x.square().sum() / (2 * family.base_width**2)


def test_density_is_what_is_written(family: DeepKernelExponentialFamily, points: Tensor) -> None:
    written = torch.stack([log_density(family, x) for x in points])
    torch.testing.assert_close(family.log_density_unnormalised(points), written, **EXACT)
    assert kernel(family, points[0]).max() > 0.05  # else the test would see nothing of the kernels
    along = family.along(Directions.axes(points, second=True))
    torch.testing.assert_close(along.value, written, **EXACT)


def test_score_and_laplacian_are_those_of_autodiff(family: DeepKernelExponentialFamily, points: Tensor) -> None:
    state = points.clone().requires_grad_()
    value = torch.stack([log_density(family, x) for x in state]).sum()
    score = torch.autograd.grad(value, state, create_graph=True)[0]
    rows = [torch.autograd.grad(column.sum(), state, retain_graph=True)[0] for column in score.unbind(-1)]
    laplacian = torch.stack([row[:, i] for i, row in enumerate(rows)]).sum(0)
    torch.testing.assert_close(family.score(points), score.detach(), **EXACT)
    along = family.along(Directions.axes(points, second=True))
    torch.testing.assert_close(along.curvature, laplacian, **EXACT)
    torch.testing.assert_close(family.score(points.reshape(5, 1, 3)), score.detach().reshape(5, 1, 3), **EXACT)
    assert family.score(points[:0]).shape == (0, 3)
    assert family.score(points[0]).shape == (3,)
    assert family.log_density_unnormalised(points[:0]).shape == (0,)


@pytest.mark.parametrize("reduced", [False, True], ids=["plain", "variance-reduced"])
@pytest.mark.parametrize("name", SLICINGS)
def test_sliced_losses_are_those_of_autodiff(
    family: DeepKernelExponentialFamily, points: Tensor, name: str, reduced: bool
) -> None:
    objective = SlicedFamilyMatching(slicing=SLICINGS[name], variance_reduction=reduced)
    losses = family.losses(objective.directions(points, torch.Generator().manual_seed(6)))
    field = objective.slicing.draw(points, torch.Generator().manual_seed(6))
    written = sliced_losses(family, points, field, objective.slicing if reduced else None)
    torch.testing.assert_close(losses, written, **EXACT)


def sliced_losses(
    family: DeepKernelExponentialFamily, points: Tensor, field: SlicingField, moment: Slicing | None
) -> Tensor:
    """Half the square of the score along the field, and the divergence of field times that, by autodiff."""
    state = points.clone().requires_grad_()
    value = torch.stack([log_density(family, x) for x in state]).sum()
    score = torch.autograd.grad(value, state, create_graph=True)[0]
    along = field.value(state)
    product = (along * score).sum(-1)
    advected = (torch.autograd.grad(product.sum(), state, retain_graph=True)[0] * along).sum(-1)
    divergence = torch.stack(
        [
            torch.autograd.grad(along[:, i].sum(), state, retain_graph=True, materialize_grads=True)[0][:, i]
            if along.requires_grad
            else torch.zeros_like(product)
            for i in range(state.shape[1])
        ]
    ).sum(0)
    square = product.square() if moment is None else (score * moment.second_moment(state, score)).sum(-1)
    return (0.5 * square + advected + divergence * product).detach()


@pytest.mark.parametrize(
    "matrix",
    [LinearProjection(), WARP, TailWeight(locations=(0.1,) * 3, scales=(1.2,) * 3)],
    ids=lambda m: type(m).__name__,
)
def test_slices_average_to_the_exact_loss(
    family: DeepKernelExponentialFamily, points: Tensor, matrix: DiffusionMatrix
) -> None:
    exact = family.losses(ExactFamilyMatching(matrix=matrix).directions(points, torch.Generator()))
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
    sliced = torch.stack([sliced_losses(family, points, matrix.field(each), None) for each in signs])
    torch.testing.assert_close(sliced.mean(0), exact, **EXACT)


@pytest.mark.parametrize(
    "objective",
    [
        ExactFamilyMatching(),
        SlicedFamilyMatching(slicing=WARP),
        SlicedFamilyMatching(slicing=WARP, variance_reduction=True),
    ],
    ids=["exact", "sliced", "variance-reduced"],
)
def test_closed_form_coefficients_minimise_the_loss(
    family: DeepKernelExponentialFamily, points: Tensor, objective: FamilyObjective
) -> None:
    directions = objective.directions(points, torch.Generator().manual_seed(8))
    solved = family.normal_equations(directions).coefficients(family.log_ridge)
    ridge = 10**family.log_ridge

    def slope(alpha: Tensor) -> Tensor:
        alpha = alpha.requires_grad_()
        penalised = family.losses(directions, alpha).mean() + 0.5 * ridge * alpha.square().sum()
        return torch.autograd.grad(penalised, alpha)[0]

    assert slope(solved).abs().max() < 1e-10
    assert slope(solved.detach() + 0.01).abs().max() > 1e-5


def test_many_points_are_worked_on_in_parts(family: DeepKernelExponentialFamily) -> None:
    many = torch.randn(2000, 3, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    directions = Directions.axes(many, second=True)
    assert len(list(directions.blocks)) > 1
    losses = family.losses(directions)
    torch.testing.assert_close(losses[-3:], family.losses(Directions.axes(many[-3:], second=True)), **EXACT)
    whole = family.normal_equations(directions)
    halves = [family.normal_equations(Directions.axes(half, second=True)) for half in many.split(1000)]
    torch.testing.assert_close(whole.gram, (halves[0] + halves[1]).gram, **EXACT)
    assert whole.points == 2000


def test_parameters_are_learned_through_the_coefficients(family: DeepKernelExponentialFamily, points: Tensor) -> None:
    """The gradient of a step's loss against a difference quotient in every kind of parameter."""
    family.requires_grad_()
    directions = [Directions.axes(half, second=True) for half in points.split(3)]

    def loss() -> Tensor:
        coefficients = family.normal_equations(directions[0]).coefficients(family.log_ridge)
        return family.losses(directions[1], coefficients).mean()

    loss().backward()
    for name, parameter in family.named_parameters():
        assert parameter.grad is not None, name
        entry, step = int(parameter.grad.abs().argmax()), 1e-5
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.view(-1)[entry] += sign * step
                values.append(float(loss()))
                parameter.view(-1)[entry] -= sign * step
        gradient = float(parameter.grad.view(-1)[entry])
        assert abs(gradient) > 1e-6, name
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(gradient, rel=1e-5), name
