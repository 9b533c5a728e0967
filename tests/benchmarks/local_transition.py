"""Speed and accuracy of the local linear transition, side by side with Van Loan's block exponential.

Run as ``python tests/benchmarks/local_transition.py [speed accuracy process] [--rounds N] [--quick]``; prints tables
and writes JSON into the working directory. One thread, float64 and float32. Sections: the flow of given linear
equations (propagator, mean and covariance) in 2 to 6 and 8 components; errors of each on stiff equations against many
digits; the whole transition of processes, from states to means and Cholesky factors.
"""

import functools
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

from alternating_runs import options, table, timed, write

from physcore import Process
from physcore.fused_flow import FEWEST_EQUATIONS
from physcore.linear_flow import linear_flow
from physcore.score import LocalLinearization
from simulations import ActiveSwimmer, Kuramoto, Lorenz63

DIMENSIONS = [2, 3, 4, 5, 6, 8]
DTYPES = [torch.float64, torch.float32]
STIFFNESSES = [1.0, 10.0, 100.0]  # largest rate times duration
CHECKED = 3


def equations(d: int, batch: int, dtype: torch.dtype) -> list[Tensor]:
    """Return equations with rates of order one over durations up to one half."""
    generator = torch.Generator().manual_seed(d)
    noise = torch.randn(batch, d, d, generator=generator, dtype=dtype)
    jacobian = torch.randn(d, d, batch, generator=generator, dtype=dtype) / d**0.5
    jacobian -= torch.eye(d, dtype=dtype).unsqueeze(-1)
    force = torch.randn(d, batch, generator=generator, dtype=dtype)
    duration = 0.01 + 0.49 * torch.rand(batch, generator=generator, dtype=dtype)
    return [jacobian, force, (noise @ noise.mT).permute(1, 2, 0).contiguous(), duration]


def by_van_loan(jacobian: Tensor, force: Tensor, diffusion: Tensor, duration: Tensor) -> tuple[Tensor, Tensor]:
    """Return propagators and covariances from batched exponentials of the block, shape ``(batch, d, d)``."""
    d, batch = len(force), len(duration)
    block = torch.zeros(batch, 2 * d, 2 * d, dtype=force.dtype)
    block[:, :d, :d], block[:, :d, d:] = jacobian.permute(2, 0, 1), diffusion.permute(2, 0, 1)
    block[:, d:, d:] = -block[:, :d, :d].mT
    exponential = torch.linalg.matrix_exp(block * duration[:, None, None])
    propagator = exponential[:, :d, :d]
    return propagator, exponential[:, :d, d:] @ propagator.mT


def by_torch(*operands: Tensor) -> list[Any]:
    """Return the flows that torch computes, in parts too small for a kernel: for accuracy, not for speed."""
    most = FEWEST_EQUATIONS - 1
    return [linear_flow(*(x[..., i : i + most] for x in operands)) for i in range(0, operands[-1].shape[-1], most)]


def medians(ways: dict[str, Callable[[], Any]], rounds: int, samples: int) -> dict[str, float]:
    """Return CPU nanoseconds per sample, medians over rounds in which all take turns."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            spent[name].append(timed(way)[1].cpu / samples * 1e9)
    return {name: statistics.median(values) for name, values in spent.items()}


def speed(rounds: int, batch: int) -> list[dict[str, Any]]:
    """Time the flows of a batch of equations, the kernel's ratio taken to the block exponential."""
    rows = []
    for d in DIMENSIONS:
        for dtype in DTYPES:
            operands = equations(d, batch, dtype)
            ways = {
                "kernel_ns": functools.partial(linear_flow, *operands),
                "van_loan_ns": functools.partial(by_van_loan, *operands),
            }
            row: dict[str, Any] = {"components": d, "dtype": str(dtype).removeprefix("torch.")}
            row |= medians(ways, rounds, batch)
            rows.append(row | {"times_faster": row["van_loan_ns"] / row["kernel_ns"]})
    table(f"Flow of {batch} equations, CPU ns per sample", rows)
    return rows


def exact(jacobian: Tensor, diffusion: Tensor, h: float, digits: int) -> tuple[Tensor, Tensor]:
    """Return propagator and covariance from the block in many digits."""
    d = len(jacobian)
    with mpmath.workdps(digits):
        block = mpmath.zeros(2 * d)
        for i in range(d):
            for j in range(d):
                block[i, j], block[d + i, d + j] = float(jacobian[i, j]), -float(jacobian[j, i])
                block[i, d + j] = float(diffusion[i, j])
        exponential = mpmath.expm(block * mpmath.mpf(h))
        propagator, lower = exponential[:d, :d], exponential[:d, d:]
        parts = [np.array(m.tolist(), float) for m in (propagator, lower * propagator.T)]
    return torch.from_numpy(parts[0]), torch.from_numpy(parts[1])


def error(actual: Tensor, expected: Tensor) -> float:
    """Return an error relative to the largest entry; infinite where there is no number."""
    value = float((actual - expected).abs().max() / expected.abs().max())
    return float("inf") if math.isnan(value) else value


def accuracy(dimensions: list[int]) -> list[dict[str, Any]]:
    """Compare blocks in float64 with many digits on equations of growing stiffness; worst of some samples."""
    rows = []
    for d in dimensions:
        for stiffness in STIFFNESSES:
            generator = torch.Generator().manual_seed(d)
            _, force, diffusion, duration = equations(d, FEWEST_EQUATIONS, torch.float64)
            axes = torch.randn(FEWEST_EQUATIONS, d, d, generator=generator, dtype=torch.float64)
            rates = torch.logspace(-1, float(np.log10(stiffness)), d, dtype=torch.float64)
            jacobian = -(axes @ (rates.unsqueeze(-1) * torch.linalg.inv(axes))).permute(1, 2, 0).contiguous()
            operands = [jacobian, force, diffusion, torch.ones_like(duration)]
            kernel, (plain, *_), block = linear_flow(*operands), by_torch(*operands), by_van_loan(*operands)
            row: dict[str, Any] = {"components": d, "stiffness": stiffness}
            worst = dict.fromkeys(["kernel", "torch", "van_loan"], (0.0, 0.0))
            for k in range(CHECKED):
                true = exact(jacobian[..., k], diffusion[..., k], 1.0, int(60 + 2 * stiffness))
                found = {
                    "kernel": (kernel.propagator[..., k], kernel.covariance[..., k]),
                    "torch": (plain.propagator[..., k], plain.covariance[..., k]),
                    "van_loan": (block[0][k], block[1][k]),
                }
                for name, blocks in found.items():
                    errors = (error(a, b) for a, b in zip(blocks, true, strict=True))
                    worst[name] = tuple(max(pair) for pair in zip(worst[name], errors, strict=True))  # type: ignore[assignment]
            for name, (propagator, covariance) in worst.items():
                row |= {f"{name}_propagator": f"{propagator:.0e}", f"{name}_covariance": f"{covariance:.0e}"}
            rows.append(row)
    table("Largest relative error of a block, float64", rows)
    return rows


def process(rounds: int, batch: int) -> list[dict[str, Any]]:
    """Time whole transitions, drift and Jacobian included."""
    rows = []
    cases: list[Process] = [ActiveSwimmer(), Lorenz63(), Kuramoto()]
    for case in cases:
        for dtype in DTYPES:
            state = case.sample_initial(batch, torch.Generator().manual_seed(1)).to(dtype)
            times, lag = torch.zeros(batch, dtype=dtype), torch.full((batch,), 0.1, dtype=dtype)
            kernel = LocalLinearization(case)
            began = time.perf_counter()
            kernel.transition(state, times, lag)
            first = time.perf_counter() - began
            ways = {"transition_ns": functools.partial(kernel.transition, state, times, lag)}
            row: dict[str, Any] = {"process": type(case).__name__, "components": case.dimension}
            row |= {"dtype": str(dtype).removeprefix("torch."), **medians(ways, rounds, batch), "first_call_s": first}
            rows.append(row)
    table(f"Transitions of {batch} states, CPU ns per state", rows)
    return rows


def main() -> None:
    """Run the chosen sections."""
    torch.set_num_threads(1)
    chosen = options(__doc__ or "", ["speed", "accuracy", "process"])
    batch = 10_000 if chosen.quick else 100_000
    run: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "speed": lambda: speed(chosen.rounds, batch),
        "accuracy": lambda: accuracy([2, 3] if chosen.quick else [2, 3, 4, 6]),
        "process": lambda: process(chosen.rounds, batch),
    }
    write("local_transition", {name: run[name]() for name in chosen.sections}, ["torch", "numpy"])


if __name__ == "__main__":
    main()
