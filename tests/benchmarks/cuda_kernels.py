"""Which steps of the catalogue NVIDIA's runtime compiler takes; it needs no GPU.

Run as ``python tests/benchmarks/cuda_kernels.py [capability]``, by default 90, where ``nvidia-cuda-nvrtc`` is
installed. Every process is stepped by every scheme that is made for it, in float32 and float64. Prints what fails or is
too large to be traced, and the counts.
"""

import ctypes
import importlib.util
import sys
from pathlib import Path

import torch

from physcore.configuration import default_run
from physcore.fusion import TooLarge, Untraceable
from physcore.registry import build, names
from physcore.stepping import Stepping
from physcore.stepping.fused_cuda import without_toolkit
from physcore.stepping.kernel_source import traced_step
from physcore.streams import Streams


def main() -> None:
    """Compile all of them."""
    package = importlib.util.find_spec("nvidia")
    folders = [] if package is None else map(Path, package.submodule_search_locations or ())
    found = sorted(path for folder in folders for path in folder.glob("*/lib/libnvrtc*.so.*"))
    if not found:
        sys.exit("needs NVIDIA's runtime compiler: pip install nvidia-cuda-nvrtc")
    *_, library = (ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL) for path in found)
    torch.cuda._utils._get_gpu_rtc_library = lambda: library
    capability = sys.argv[1] if len(sys.argv) > 1 else "90"
    counts = {"taken": 0, "refused": 0, "not traced": 0}
    for name in names("physcore.processes"):
        try:
            process = build("physcore.processes", name, default_run(name).get("parameters", {}))
        except ValueError as error:
            print(f"{name}: {error}")
            continue
        for scheme in names("physcore.schemes"):
            taker = build("physcore.schemes", scheme, {})
            try:
                taker.check(process, 0.01)
            except ValueError:
                continue
            for dtype in (torch.float32, torch.float64):
                stepping = Stepping(
                    step=lambda x, t, z, taker=taker, process=process: taker.step(process, x, t, 0.01, z),
                    components=process.dimension,
                    normals=taker.normals(process),
                    dt=0.01,
                    start=0.5,
                    dtype=dtype,
                    three_point=False,
                    streams=Streams(3, "noise"),
                    device=torch.device("cpu"),
                )
                counts[_ended(stepping, f"{name}, {scheme}, {dtype}", capability)] += 1
    print(counts)


def _ended(stepping: Stepping, what: str, capability: str) -> str:
    try:
        source, _ = traced_step(stepping).source(single=stepping.dtype == torch.float32, three_point=False, cuda=True)
        with without_toolkit():
            torch.cuda._utils._nvrtc_compile(source, "advance_paths", capability)
    except (Untraceable, TooLarge) as error:
        print(f"{what}: {error}")
        return "not traced"
    except RuntimeError as error:
        print(f"{what}: {error}")
        return "refused"
    return "taken"


if __name__ == "__main__":
    main()
