"""Flows of zuko as maps: their own log density is the judge."""

import copy
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from physcore.mixture import GaussianMixture
from physcore.transform import Inverted, TransformedProcess, flow_bijection, transform_score
from physcore.transform.bijections.fused_sweep import FusedSweep
from physcore.transform.bijections.triangular import Autoregressive, Fused, triangular
from simulations import OrnsteinUhlenbeck

zuko = pytest.importorskip("zuko")

COMPONENTS = 3
SMOOTH = {"transforms": 2, "hidden_features": (16,), "activation": nn.Tanh}
CLOSED = {"NSF": SMOOTH, "MAF": SMOOTH, "NICE": SMOOTH}
ITERATED = {"SOSPF": {"transforms": 2}, "GF": {"transforms": 2}, "CNF": {"hidden_features": (16,)}}
TOLERANCE = {"SOSPF": 1e-5, "GF": 1e-4, "CNF": 1e-2}  # bisection, bisection, adaptive integration


def flow_of(name: str, **further: object) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        flow: nn.Module = getattr(zuko.flows, name)(COMPONENTS, **({**CLOSED, **ITERATED}[name] | further))
    return flow.double()


def points() -> Tensor:
    return 0.5 * torch.randn(6, COMPONENTS, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def slope(log_density: nn.Module, state: Tensor) -> Tensor:
    watched = state.clone().requires_grad_()
    return torch.autograd.grad(log_density.log_prob(watched).sum(), watched)[0]


@pytest.mark.parametrize("name", [*CLOSED, *ITERATED])
def test_scores_of_data_and_latent_space_belong_together(name: str) -> None:
    flow, state = flow_of(name), points()
    bijection, law = flow_bijection(flow), flow()
    image, tolerance = bijection.forward(state).detach(), TOLERANCE.get(name, 1e-10)
    of_data, of_latent = slope(law, state), -image
    back = transform_score(Inverted(bijection=bijection), image, of_latent)
    torch.testing.assert_close(back, of_data, rtol=tolerance, atol=tolerance)
    for form in ("log-determinant", "inverse", "divergence"):
        carried = transform_score(bijection, state, of_data, form=form)  # type: ignore[arg-type]
        torch.testing.assert_close(carried, of_latent, rtol=tolerance, atol=tolerance)


VARIED = {
    "coupled in two passes": {"passes": 2},
    "of a deep network in random order": {"hidden_features": (5, 16, 7), "randperm": True, "activation": nn.ELU},
    "of a network without hidden layers": {"hidden_features": ()},
    "of smooth units": {"activation": nn.SiLU},
    "of softplus units": {"activation": nn.Softplus},
    "of a residual network": {"residual": True},
}


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "torch"])
@pytest.mark.parametrize("name", [*CLOSED, "SOSPF", *VARIED])
def test_where_nothing_is_differentiated_triangular_layers_give_the_same(
    name: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(FusedSweep, "_run", lambda *_, **__: None)
    flow = flow_of("MAF", **VARIED[name]) if name in VARIED else flow_of(name)
    bijection, state = flow_bijection(flow), points()
    state[0] = 6.0  # beyond the outer knots of splines
    ways = [type(triangular(layer.transform)) for layer in bijection.layers]  # type: ignore[attr-defined]
    assert (Autoregressive if "residual" in name else Fused) in ways
    score = torch.randn(state.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    followed = transform_score(bijection, state, score)
    back = transform_score(Inverted(bijection=bijection), bijection.forward(state), score)
    assert followed.requires_grad
    with torch.no_grad():
        image = bijection.forward(state)
        tolerance = TOLERANCE.get(name, 1e-10)
        torch.testing.assert_close(transform_score(bijection, state, score), followed, rtol=tolerance, atol=tolerance)
        returned = transform_score(Inverted(bijection=bijection), image, score)
        torch.testing.assert_close(returned, back, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(bijection.inverse(image), state, rtol=tolerance, atol=tolerance)
        carried = bijection.carry_score(state, score)[0]
        torch.testing.assert_close(carried, image, rtol=tolerance, atol=tolerance)
    assert (followed - score).abs().max() > 1e-2


@pytest.mark.parametrize("name", CLOSED)
def test_scores_through_random_flows_of_random_laws_are_gradients_of_the_log_density(name: str) -> None:
    @settings(max_examples=6, deadline=None, database=None, derandomize=True)
    @given(st.integers(2, 12), st.integers(0, 2**31), st.booleans())
    def check(components: int, seed: int, randperm: bool) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            shuffled = {} if name == "NICE" else {"randperm": randperm}
            flow = getattr(zuko.flows, name)(components, **SMOOTH, **shuffled).double()
            state, means = torch.randn(5, components, dtype=torch.float64), torch.randn(3, components).tolist()
        law, bijection = GaussianMixture(means=tuple(map(tuple, means)), width=1.0), flow_bijection(flow)
        image = bijection.forward(state).detach().requires_grad_()
        origin = bijection.inverse(image)
        density = law.log_density(origin) - bijection.log_determinant(origin)
        expected = torch.autograd.grad(density.sum(), image)[0]
        with torch.no_grad():
            carried = transform_score(bijection, state, law.score(state))
            back = transform_score(Inverted(bijection=bijection), image.detach(), carried)
        for found, wanted in ((carried, expected), (back, law.score(state))):
            size = 1 + wanted.abs().amax(-1, keepdim=True)
            assert float(((found - wanted) / size).abs().max()) < 1e-10

    check()


@pytest.mark.parametrize("precision", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", CLOSED)
def test_many_points_through_many_components_are_carried_by_the_kernel(name: str, precision: torch.dtype) -> None:
    if not shutil.which("cc") and not shutil.which("gcc"):
        pytest.skip("no C compiler")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        flow = getattr(zuko.flows, name)(37, transforms=2, hidden_features=(20, 11), activation=nn.SiLU).double()
    state = 0.7 * torch.randn(3, 90, 37, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    score = torch.randn(state.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    image = flow_bijection(flow).forward(state).detach()
    expected = transform_score(flow_bijection(flow), state, score).detach()
    narrow = [tensor.to(precision) for tensor in (state, score, image, expected)]
    tolerance = 1e-10 if precision == torch.float64 else 2e-3
    with torch.no_grad():
        for layer in flow_bijection(flow.to(precision)).layers:
            assert layer._way.kernel.carry(*narrow[:2]) is not None  # type: ignore[attr-defined]
        carried = flow_bijection(flow).carry_score(*narrow[:2])
        returned = flow_bijection(flow).return_score(*narrow[2:])
    for found, wanted in zip((*carried, *returned), (image, expected, state, score), strict=True):
        torch.testing.assert_close(found, wanted.to(precision), rtol=tolerance, atol=tolerance)


def test_a_map_that_has_carried_scores_can_be_copied() -> None:
    bijection, state = flow_bijection(flow_of("NSF")), points()
    with torch.no_grad():
        carried = bijection.carry_score(state, -state)[1]
        again = copy.deepcopy(bijection).carry_score(state, -state)[1]
    torch.testing.assert_close(again, carried, rtol=0, atol=0)


def test_a_kernel_follows_weights_that_are_written_past_their_version() -> None:
    flow, state = flow_of("MAF"), points()
    bijection = flow_bijection(flow)
    with torch.no_grad():
        before = bijection.carry_score(state, -state)[1]
        for parameter in flow.parameters():
            parameter.data.mul_(1.5)
        after = bijection.carry_score(state, -state)[1]
        torch.testing.assert_close(after, flow_bijection(flow).carry_score(state, -state)[1], rtol=0, atol=0)
    assert (after - before).abs().max() > 1e-2


@pytest.mark.parametrize("name", CLOSED)
def test_the_term_of_ito_of_a_flow_is_that_of_finite_differences(name: str) -> None:
    bijection, state, step = flow_bijection(flow_of(name)), points(), 1e-3
    noise = torch.tensor([[1.0, 0.2], [0.0, 0.5], [-0.3, 0.4]], dtype=torch.float64)
    expected = torch.zeros_like(state)
    for vector in noise.T:
        bend = bijection.forward(state + step * vector) + bijection.forward(state - step * vector)
        expected = expected + (bend - 2 * bijection.forward(state)).detach() / step**2
    torch.testing.assert_close(bijection.hessian_contraction(state, noise), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["SOSPF", "CNF"])
def test_a_flow_without_second_derivatives_says_so(name: str) -> None:
    trap = OrnsteinUhlenbeck(drift_matrix=(-torch.eye(3)).tolist(), noise_matrix=torch.eye(3).tolist())
    process = TransformedProcess(process=trap, bijection=flow_bijection(flow_of(name)))
    image = process.bijection.forward(points()).detach()
    with pytest.raises(NotImplementedError, match=r"cannot be differentiated.*Use a flow in closed form"):
        process.drift(image, torch.zeros((), dtype=torch.float64))
    # The probability flow needs first derivatives alone.
    flow = process.probability_flow(image, torch.zeros((), dtype=torch.float64), trap.score)
    assert flow.isfinite().all()


def test_a_carried_score_is_differentiable_by_the_parameters_as_they_enter_it() -> None:
    flow, state = flow_of("NICE"), points()
    parameter, score = next(flow.parameters()), -points()
    (slopes,) = torch.autograd.grad(transform_score(flow_bijection(flow), state, score).sum(), parameter)
    moved, step = torch.zeros_like(parameter).index_fill_(0, torch.tensor([0]), 1.0), 1e-6
    sums = []
    for sign in (1, -1):
        with torch.no_grad():
            parameter.add_(sign * step * moved)
            sums.append(transform_score(flow_bijection(flow), state, score).sum())
            parameter.sub_(sign * step * moved)
    assert not sums[0].requires_grad
    torch.testing.assert_close((slopes * moved).sum(), (sums[0] - sums[1]) / (2 * step), rtol=1e-6, atol=1e-8)
    frozen = flow_bijection(flow.requires_grad_(False))
    assert not transform_score(frozen, state, score).requires_grad


def test_runs_are_told_apart_by_the_parameters_of_the_flow() -> None:
    flow = flow_of("MAF")
    before = flow_bijection(flow).parameters
    assert before == flow_bijection(flow).parameters
    with torch.no_grad():
        next(flow.parameters()).add_(1.0)
    assert before != flow_bijection(flow).parameters
