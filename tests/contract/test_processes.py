"""What every registered process keeps to."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

import physcore
import physcore.transform
import simulations
from physcore import Gaussian, Process, SolvableProcess
from physcore.registry import build, name_of

DTYPES = [torch.float32, torch.float64]
SHAPES = [(), (5,), (3, 5), (0,)]
MANY_DIMENSIONS = 6

Exported = Callable[[ModuleType], dict[str, Any]]


def states(process: Process, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(*shape, process.dimension, generator=generator, dtype=dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_drift_has_shape_and_dtype_of_the_state(process: Process, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    state = states(process, *shape, dtype=dtype)
    for time in (torch.tensor(0.3, dtype=torch.float64), torch.full(shape, 0.3, dtype=dtype)):
        drift = process.drift(state, time)
        assert drift.shape == state.shape
        assert drift.dtype == dtype
        jacobian = process.jacobian(state, time)
        assert jacobian.shape == (*shape, process.dimension, process.dimension)
        assert jacobian.dtype == dtype


def test_drift_of_a_batch_is_the_drift_of_each_state(process: Process) -> None:
    state = states(process, 3, 5)
    time = torch.linspace(0, 1, 15, dtype=torch.float64).reshape(3, 5)
    together = process.drift(state, time)
    for i in range(3):
        for j in range(5):
            torch.testing.assert_close(together[i, j], process.drift(state[i, j], time[i, j]), rtol=1e-14, atol=1e-14)


def test_drift_of_a_path_does_not_depend_on_the_number_of_paths(process: Process) -> None:
    state, time = states(process, 1024, dtype=torch.float32), torch.tensor(0.3)
    together = process.drift(state, time)
    assert torch.equal(together[:7], process.drift(state[:7].clone(), time))


def test_input_is_left_untouched(process: Process) -> None:
    state, time = states(process, 5), torch.full((5,), 0.3, dtype=torch.float64)
    kept = state.clone(), time.clone()
    process.drift(state, time)
    process.jacobian(state, time)
    process.drift_rate(state, time)
    process.noise_for(state, time)
    assert torch.equal(state, kept[0])
    assert torch.equal(time, kept[1])


def test_jacobian_equals_autodiff(process: Process) -> None:
    state, time = 2 * states(process, 40), torch.full((40,), 0.3, dtype=torch.float64)
    torch.testing.assert_close(
        process.jacobian(state, time), Process.jacobian(process, state, time), rtol=1e-12, atol=1e-12
    )


def test_jacobian_equals_finite_differences(process: Process) -> None:
    state, time, step = states(process, 10), torch.tensor(0.3, dtype=torch.float64), 1e-5
    jacobian = process.jacobian(state, time)
    for j, direction in enumerate(step * torch.eye(process.dimension, dtype=torch.float64)):
        slope = (process.drift(state + direction, time) - process.drift(state - direction, time)) / (2 * step)
        torch.testing.assert_close(jacobian[..., j], slope, rtol=1e-6, atol=1e-7)


def test_drift_rate_equals_finite_differences(process: Process) -> None:
    state, time, step = states(process, 10), torch.full((10,), 0.3, dtype=torch.float64), 1e-5
    slope = (process.drift(state, time + step) - process.drift(state, time - step)) / (2 * step)
    torch.testing.assert_close(process.drift_rate(state, time), slope, rtol=1e-6, atol=1e-7)


def test_noise_has_a_row_for_each_component(process: Process) -> None:
    if process.noise_type != "additive":
        with pytest.raises(ValueError, match="depends on the state"):
            process.noise(torch.zeros(()))
        assert process.noise_for(states(process, 4), torch.zeros(4)).shape == (4, process.dimension, process.noises)
        return
    for shape in ((), (4,)):
        noise = process.noise(torch.zeros(shape, dtype=torch.float64))
        assert noise.shape[:-2] in ((), shape)
        assert noise.shape[-2] == process.dimension
        assert noise.shape[-1] >= 1
        assert torch.isfinite(noise).all()
    assert process.noise_for(states(process, 4, dtype=torch.float32), torch.zeros(4)).dtype == torch.float32
    assert process.driven == tuple(i for i, row in enumerate(process.noise(torch.zeros(()))) if row.abs().sum() > 0)


def test_variables_name_the_components(process: Process) -> None:
    names = [variable.name for variable in process.variables]
    assert len(set(names)) == len(names) == process.dimension
    assert process.drift(states(process, 2), torch.zeros(2, dtype=torch.float64)).shape[-1] == len(names)


def test_repr_is_the_constructor_call(process: Process, exported: Exported) -> None:
    assert eval(repr(process), exported(simulations, physcore, physcore.transform)) == process


def test_parameters_survive_json_and_the_registry(process: Process, process_name: str) -> None:
    parameters = json.loads(json.dumps(process.parameters))
    rebuilt = build("physcore.processes", process_name, parameters)
    assert rebuilt == process
    assert repr(rebuilt) == repr(process)
    assert name_of(type(process)) == process_name


def test_initial_states_are_a_function_of_the_generator(process: Process) -> None:
    first, second, other = (process.sample_initial(100, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert first.shape == (100, process.dimension)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.dtype.is_floating_point


def check_density(process: Process, shift: float = 0.0) -> None:
    """The density has mass 1 and the moments of the samples, by importance sampling from a broader Gaussian."""
    samples = process.sample_initial(50_000, torch.Generator().manual_seed(1)).double()
    broad = Gaussian(mean=samples.mean(0), covariance=1.5 * torch.atleast_2d(samples.T.cov()))
    points = broad.sample(50_000, torch.Generator().manual_seed(2))
    weight = torch.exp(process.initial_log_density(points - shift) - broad.log_density(points))
    count = len(points) ** 0.5
    assert abs(weight.mean() - 1) < 5 * weight.std() / count, "mass is not 1"
    for power in (1, 2):
        weighted, plain = weight[:, None] * points**power, samples**power
        error = (weighted.std(0) ** 2 + plain.std(0) ** 2).sqrt() / count
        z = (weighted.mean(0) - plain.mean(0)) / error
        assert z.abs().max() < 5, f"moment {power}"


def check_score_of_density(process: Process, shift: float = 0.0) -> None:
    """The density belongs to the samples by Stein's identities, E[s_i] = 0 and E[x_i s_i] = -1, in any dimension."""
    samples = process.sample_initial(5_000, torch.Generator().manual_seed(1)).double().requires_grad_()
    log_density = process.initial_log_density(samples - shift)
    score, points = torch.autograd.grad(log_density.sum(), samples)[0], samples.detach()
    centred = (points - points.mean(0)) * score + 1
    for power, identity in enumerate((score, centred), 1):
        z = identity.mean(0) / identity.std(0) * len(points) ** 0.5
        assert z.abs().max() < 5, f"moment {power}"


def checked_density(process: Process, shift: float = 0.0) -> None:
    # The weights of importance sampling are useless in many dimensions.
    (check_density if process.dimension <= MANY_DIMENSIONS else check_score_of_density)(process, shift)


@pytest.fixture
def with_density(process: Process) -> Process:
    try:
        process.initial_log_density(states(process, 1))
    except NotImplementedError:
        pytest.skip("the process gives no initial density")
    return process


def test_initial_density_has_mass_one_and_the_moments_of_the_samples(with_density: Process) -> None:
    checked_density(with_density)


def test_the_check_of_the_initial_density_can_fail(with_density: Process) -> None:
    with pytest.raises(AssertionError, match="moment 1"):
        checked_density(with_density, shift=0.1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_initial_density_has_the_leading_shape(with_density: Process, dtype: torch.dtype) -> None:
    process = with_density
    density = process.initial_log_density(states(process, 3, 4, dtype=dtype))
    assert density.shape == (3, 4)
    assert torch.isfinite(density).all()


def test_a_solvable_process_starts_with_its_initial_law(process: Process) -> None:
    if not isinstance(process, SolvableProcess):
        pytest.skip("no closed form")
    state = states(process, 6)
    torch.testing.assert_close(process.log_density(state, torch.zeros(())), process.initial_log_density(state))
    times = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    assert process.mean(times).shape == (3, process.dimension)
    assert process.covariance(times).shape == (3, process.dimension, process.dimension)
    assert process.score(state[:3], times).shape == (3, process.dimension)


def test_hash_and_equality_follow_the_parameters(process: Process, process_name: str) -> None:
    twin = build("physcore.processes", process_name, process.parameters)
    assert twin == process
    assert hash(twin) == hash(process)


def test_noise_acts_as_its_matrix_says(process: Process) -> None:
    time = torch.tensor(0.3, dtype=torch.float64)
    generator = torch.Generator().manual_seed(2)
    normals = torch.randn(4, process.noises, generator=generator, dtype=torch.float64)
    state = states(process, 4)
    matrix = process.noise_for(state, time.expand(4))
    assert matrix.shape[-2:] == (process.dimension, process.noises)
    expected = (matrix.double() @ normals.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(process.diffuse(normals, time, state), expected, rtol=1e-12, atol=1e-12)
