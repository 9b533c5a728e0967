"""Whether a process goes around as its periods say."""

from collections.abc import Sequence

import torch

from analysis.references.grid.pilot import Turns
from physcore.process import Process

__all__ = ["check_turns"]

PROBES = 256
EQUAL = 1e-6  # relative difference of drifts one turn apart


def check_turns(process: Process, turns: Turns, times: Sequence[float]) -> None:
    """Refuse periods that the drift has not, at the first and the last of some times.

    Arguments:
        process: The process.
        turns: Ends of one turn of each component that closes on itself, None of the others.
        times: Times.

    Raises:
        ValueError: If the drift is another one turn further; the component is named.
    """
    states = process.sample_initial(PROBES, torch.Generator().manual_seed(0)).double()
    for axis, turn in enumerate(turns):
        if turn is None:
            continue
        further = states.clone()
        further[:, axis] += turn[1] - turn[0]
        for time in (times[0], times[-1]):
            here, there = (process.drift(each, torch.tensor(time, dtype=torch.float64)) for each in (states, further))
            off = float((here - there).abs().max()) / max(float(here.abs().max()), 1e-300)
            if off > EQUAL:
                name = process.variables[axis].name
                raise ValueError(
                    f"`periods` must be those of the drift to six digits; {turn[1] - turn[0]:.8g} further in {name!r} "
                    f"it differs by {off:.1g} of its largest value. One turn of an angle is 6.283185307."
                )
