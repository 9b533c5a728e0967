"""The CUDA source does what the C source does: as C++ with its threads in a loop, and on a GPU where there is one.

NVIDIA's runtime compiler needs no GPU: where it is installed (``pip install nvidia-cuda-nvrtc``) it takes the source.
"""

import ctypes
import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils import cpp_extension

from physcore import Process
from physcore.stepping import Stepping
from physcore.stepping.fused_cpu import FusedCpu
from physcore.stepping.fused_cuda import FusedCuda, without_toolkit
from physcore.stepping.kernel_source import FusedStep, traced_step
from physcore.streams import Streams
from simulations import ActiveSwimmer, EulerMaruyama, OrnsteinUhlenbeck

AS_CPP = """
#include <cmath>
#define __CUDACC__
#define __device__
#define __forceinline__ inline
#define __global__
struct { long long x; } blockIdx, blockDim{1}, threadIdx{0};
static float __fsqrt_rn(float x) { return __builtin_sqrtf(x); }
static void atomicAdd(unsigned long long *sum, unsigned long long more) { *sum += more; }
"""
LOOP = """
extern "C" void all(const real *start, real *frames, const real *c, const double *k, const int64_t *saved,
                    const int64_t *numbers, const double *times, unsigned long long *failures)
{
    for (blockIdx.x = 0; blockIdx.x < numbers[3] + 5; blockIdx.x++)
        advance_paths(start, frames, c, k, saved, numbers, times, failures);
}
"""


class Clock(OrnsteinUhlenbeck):
    """A trap whose drift and noise depend on time."""

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return super().drift(state, time) * (1 + torch.sin(time))

    def noise(self, time: Tensor) -> Tensor:
        return super().noise(time) * (1 + torch.as_tensor(time))[..., None, None]


def trap(dimension: int) -> Clock:
    eye = tuple(tuple(float(i == j) for j in range(dimension)) for i in range(dimension))
    return Clock(drift_matrix=tuple(tuple(-x for x in row) for row in eye), noise_matrix=eye)


PROCESSES: dict[str, Process] = {"swimmer": ActiveSwimmer(), "three": trap(3), "sixty-seven": trap(67)}


def stepping(process: Process, dtype: torch.dtype, device: str = "cpu", three_point: bool = False) -> Stepping:
    return Stepping(
        step=lambda state, time, normals: EulerMaruyama().step(process, state, time, 0.01, normals),
        components=process.dimension,
        normals=process.noises,
        dt=0.01,
        start=0.5,
        dtype=dtype,
        three_point=three_point,
        streams=Streams(2**64 - 3, "noise"),
        device=torch.device(device),
    )


def start(components: int, dtype: torch.dtype, paths: int) -> Tensor:
    return torch.linspace(-1, 1, components * paths, dtype=dtype).reshape(components, paths)


def emulated(folder: Path, work: Stepping, step: FusedStep, saved: list[int], first_path: int, paths: int) -> Tensor:
    """Run the CUDA source as C++."""
    single = work.dtype == torch.float32
    source, constants = step.source(single=single, three_point=work.three_point, cuda=True)
    (folder / "kernel.cpp").write_text(AS_CPP + source + LOOP)
    command = ["c++", "-O1", "-ffp-contract=off", "-w", "-fPIC", "-shared", "kernel.cpp", "-o", "kernel.so"]
    subprocess.run(command, cwd=folder, check=True, timeout=600)
    begin, frames = (
        start(work.components, work.dtype, paths),
        torch.empty(step.components, len(saved), paths, dtype=work.dtype),
    )
    key = np.array([work.streams.key], np.uint64).view(np.int64)
    numbers = np.array([len(saved), frames.stride(0), frames.stride(1), paths, first_path, saved[0], key[0]], np.int64)
    arrays = [
        np.array([*constants, 0.0], np.float32 if single else np.float64),
        np.array([*constants, 0.0]),
        np.array(saved, np.int64),
        numbers,
        np.array([work.start, work.dt]),
        np.zeros(1, np.uint64),
    ]
    pointers = [ctypes.c_void_p(t.data_ptr()) for t in (begin, frames)]
    ctypes.CDLL(str(folder / "kernel.so")).all(*pointers, *(a.ctypes.data_as(ctypes.c_void_p) for a in arrays))
    assert arrays[-1][0] == 0
    return frames


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("three_point", [False, True], ids=["gaussian", "three-point"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", PROCESSES)
def test_the_cuda_source_takes_the_steps_of_the_c_source(
    tmp_path: Path, name: str, dtype: torch.dtype, three_point: bool
) -> None:
    if name == "sixty-seven" and (three_point or dtype == torch.float32):
        pytest.skip("one case of many normals is enough")
    process, paths, saved = PROCESSES[name], 10, [255, 256, 259, 600]
    work = stepping(process, dtype, three_point=three_point)
    step = traced_step(work)
    expected = torch.empty(step.components, len(saved), paths, dtype=dtype)
    FusedCpu(work, step).advance(start(process.dimension, dtype, paths), expected, np.array(saved), 2**33, saved[0])
    found = emulated(tmp_path, work, step, saved, 2**33, paths)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (found[:, -1] - found[:, 0]).abs().max() > 0.1


@pytest.fixture
def runtime_compiler(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Torch's way to NVIDIA's runtime compiler, where that is installed and a toolkit is not."""
    package = importlib.util.find_spec("nvidia")
    folders = [] if package is None else map(Path, package.submodule_search_locations or ())
    found = sorted(path for folder in folders for path in folder.glob("*/lib/libnvrtc*.so.*"))
    if not found:
        pytest.skip("needs NVIDIA's runtime compiler: pip install nvidia-cuda-nvrtc")
    *_, library = (ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL) for path in found)  # what is built in comes first
    monkeypatch.setattr(cpp_extension, "CUDA_HOME", None)
    monkeypatch.setattr(torch.cuda._utils, "_get_gpu_rtc_library", lambda: library)
    return torch.cuda._utils._nvrtc_compile


@pytest.mark.parametrize("three_point", [False, True], ids=["gaussian", "three-point"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", PROCESSES)
def test_the_runtime_compiler_takes_the_cuda_source(
    runtime_compiler: Any, name: str, dtype: torch.dtype, three_point: bool
) -> None:
    work = stepping(PROCESSES[name], dtype, three_point=three_point)
    source, _ = traced_step(work).source(single=dtype == torch.float32, three_point=three_point, cuda=True)
    with without_toolkit():
        binary, entry = runtime_compiler(source, "advance_paths", "90")
    assert entry == "advance_paths"
    assert binary[:4] == b"\x7fELF"


def test_no_toolkit_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def compiled(source: str, name: str) -> None:
        asked.append(cpp_extension.include_paths("cuda"))

    monkeypatch.setattr(torch.cuda, "_compile_kernel", compiled)
    for toolkit in (None, "/usr/local/cuda"):
        monkeypatch.setattr(cpp_extension, "CUDA_HOME", toolkit)
        work = stepping(PROCESSES["swimmer"], torch.float32)
        FusedCuda(work, traced_step(work))
        assert toolkit == cpp_extension.CUDA_HOME
    assert "/usr/local/cuda/include" in asked[1]
    assert "/usr/local/cuda/include" not in asked[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", PROCESSES)
def test_a_gpu_takes_the_steps_of_the_cpu(name: str, dtype: torch.dtype) -> None:
    process, paths, saved = PROCESSES[name], 1000, [255, 256, 259, 600]
    work = stepping(process, dtype)
    step = traced_step(work)
    begin, expected = (
        start(process.dimension, dtype, paths),
        torch.empty(step.components, len(saved), paths, dtype=dtype),
    )
    FusedCpu(work, step).advance(begin, expected, np.array(saved), 2**33, saved[0])
    found = expected.new_empty(expected.shape).cuda()
    gpu = FusedCuda(stepping(process, dtype, "cuda"), step)
    assert gpu.advance(begin.cuda(), found, np.array(saved), 2**33, saved[0]) == 0
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-4)
