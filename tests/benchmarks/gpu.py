"""The active swimmer on a CUDA device: throughput by CUDA events, of the kernel alone and of whole runs, and agreement
with the CPU.

Run as ``python tests/benchmarks/gpu.py [--rounds 5] [--quick]`` on a machine with a CUDA device; says so and does
nothing without one. Prints a table and writes ``gpu.json`` into the working directory.
"""

import itertools
import statistics
from typing import Any

import numpy as np
import torch
from alternating_runs import Row, options, table, write
from swimmer_peers import DT, moments

from physcore.stepping import Stepping, stepper_for
from physcore.streams import Streams
from simulations import ActiveSwimmer, EulerMaruyama, simulate

STEPS = 5000
# Largest difference to the CPU, in units of a typical state: the same draws, but sums and products fused otherwise.
TOLERANCE = 1e-3


def simulated(device: str, **settings: Any) -> Any:
    """Simulate the swimmer; return its positions and velocities, each of shape (time, path)."""
    made = simulate(ActiveSwimmer(), dt=DT, dtype="float32", seed=7, device=device, **settings)
    return tuple(made[name].transpose("time", "path").values for name in ("x", "v"))


def milliseconds(paths: int, save_every: int) -> tuple[float, Any]:
    """Simulate once; return the time between two events on the device, copies to the host included, and the frames."""
    began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    began.record()
    frames = simulated(
        "cuda", paths=paths, duration=STEPS * DT, save_every=save_every, paths_per_block=min(paths, 1 << 20)
    )
    ended.record()
    torch.cuda.synchronize()
    return began.elapsed_time(ended), frames


def throughput(cases: list[tuple[int, int]], rounds: int) -> list[Row]:
    """Time the cases in turns; the first round compiles and does not count."""
    times: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    rows: dict[tuple[int, int], Row] = {}
    for turn, case in itertools.product(range(rounds + 1), cases):
        paths, save_every = case
        elapsed, frames = milliseconds(paths, save_every)
        if turn == 0:
            rows[case] = {"paths": paths, "frames": len(frames[0])}
            rows[case] |= moments(frames) if save_every == 50 else {"v_square": float(np.mean(frames[1][-1] ** 2.0))}
        else:
            times[case].append(elapsed)
        del frames
    for case, row in rows.items():
        values = [elapsed * 1e6 / (case[0] * STEPS) for elapsed in times[case]]
        row |= {"wall_ns": statistics.median(values), "wall_low": min(values), "wall_high": max(values)}
        row["path_steps_per_s"] = 1e9 / row["wall_ns"]
    return list(rows.values())


def kernel(paths: int, rounds: int) -> list[Row]:
    """Time the kernel alone, states on the device from beginning to end."""
    device = torch.device("cuda")
    work = Stepping(
        step=lambda state, time, normals: EulerMaruyama().step(ActiveSwimmer(), state, time, DT, normals),
        components=2,
        normals=1,
        dt=DT,
        start=0.0,
        dtype=torch.float32,
        three_point=False,
        streams=Streams(7, "noise"),
        device=device,
    )
    start = torch.randn(2, paths, device=device)
    stepper, frames = stepper_for(work, start[:, :64]), torch.empty(2, 1, paths, device=device)
    times = []
    for turn in range(rounds + 1):
        began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        began.record()
        stepper.advance(start, frames, np.array([STEPS]), 0, 0)
        ended.record()
        torch.cuda.synchronize()
        times += [began.elapsed_time(ended) * 1e6 / (paths * STEPS)] if turn else []
    row: Row = {"paths": paths, "way": stepper.way, "v_square": float(frames[1].double().square().mean())}
    row |= {"wall_ns": statistics.median(times), "wall_low": min(times), "wall_high": max(times)}
    return [row | {"path_steps_per_s": 1e9 / row["wall_ns"]}]


def agreement() -> list[Row]:
    """Compare the same paths on both devices."""
    settings: dict[str, Any] = {"paths": 10_000, "duration": 1.0, "save_every": 50}
    here, there = simulated("cpu", **settings), simulated("cuda", **settings)
    rows = []
    for name, ours, theirs in zip(("x", "v"), here, there, strict=True):
        difference = float(np.abs(ours - theirs).max())
        rows.append({"variable": name, "largest_difference": difference, "agrees": difference < TOLERANCE})
    return rows


def main() -> None:
    """Measure, where there is a device."""
    sections = ["agreement", "kernel", "throughput"]
    chosen = options(__doc__ or "", sections)
    if not torch.cuda.is_available():
        raise SystemExit("No CUDA device, or a torch without CUDA: nothing is measured.")
    less = 10 if chosen.quick else 1
    cases = [(10_000_000 // less, STEPS), (1_000_000 // less, 50), (100_000, 50)]
    report: dict[str, Any] = {"device": torch.cuda.get_device_name()}
    measured = {
        "agreement": agreement,
        "kernel": lambda: kernel(10_000_000 // less, chosen.rounds),
        "throughput": lambda: throughput(cases, chosen.rounds),
    }
    for section in chosen.sections:
        report[section] = measured[section]()
        table(f"{section} on {report['device']}", report[section])
    write("gpu", report, ("physcore", "torch", "numpy"))


if __name__ == "__main__":
    main()
