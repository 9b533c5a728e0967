"""Every registered process and every scheme take the same steps in a fused kernel and by torch."""

import numpy as np
import pytest
import torch

from physcore import Process
from physcore.stepping import Stepping
from physcore.stepping.choice import LARGEST_FUSED_STATE
from physcore.stepping.eager import Eager
from physcore.stepping.fused_cpu import FusedCpu
from physcore.stepping.kernel_source import traced_step
from physcore.streams import Streams
from simulations import Duffing, OrnsteinUhlenbeck, Scheme
from simulations.integrators import EulerMaruyama

PATHS, SAVED = 70, np.array([0, 1, 5])
LINEAR = OrnsteinUhlenbeck.rotating_trap(rotation=2.0)


def check(process: Process, scheme: Scheme, three_point: bool = False) -> None:
    work = Stepping(
        step=lambda state, time, normals: scheme.step(process, state, time, 1e-3, normals),
        components=process.dimension,
        normals=scheme.normals(process),
        dt=1e-3,
        start=0.7,
        dtype=torch.float64,
        three_point=three_point,
        streams=Streams(5, "noise"),
        device=torch.device("cpu"),
    )
    start = process.sample_initial(PATHS, torch.Generator().manual_seed(4)).double().T.contiguous()
    fused, eager = (start.new_empty(len(start), len(SAVED), PATHS) for _ in range(2))
    step = traced_step(work)
    assert FusedCpu(work, step).advance(start, fused, SAVED, 9, 0) == 0
    assert Eager(work, "for comparison").advance(start, eager, SAVED, 9, 0) == 0
    torch.testing.assert_close(fused[:, 1:], eager[:, 1:], rtol=1e-6, atol=1e-6)
    moved = (fused[:, -1] - start).abs().amax(-1)
    assert (moved > 0).any()


def test_a_process_is_fused(process: Process) -> None:
    assert process.dimension <= LARGEST_FUSED_STATE
    check(process, EulerMaruyama())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scheme_is_fused(scheme: Scheme) -> None:
    accepted = []
    for process in (Duffing(), LINEAR):
        try:
            scheme.check(process, 1e-3)
        except ValueError:
            continue
        accepted.append(process)
        check(process, scheme, scheme.three_point)
    assert accepted
