"""The source of a fused kernel: a traced step inside a time loop."""

import dataclasses
import functools
from pathlib import Path

import torch

import physcore.streams
from physcore.fusion import Program, TooLarge, c_function, mathematics, trace
from physcore.stepping.stepper import Stepping
from physcore.streams import NORMALS_PER_STREAM

__all__ = ["FusedStep", "normals_source", "traced_step"]

# Few components keep more lanes in cache at once, which hides the latency of a step.
LANES_OF_SMALL_STATES, LANES_OF_LARGE_STATES, SMALL_STATE = 128, 32, 16
SHORT_STEP = 40  # operations; so short a step is worth keeping a lane in registers for several of them
LARGEST_KERNEL = 5000  # operations; a compiler's time grows with their square, to some 5 s here


@dataclasses.dataclass(frozen=True)
class FusedStep:
    """One step, traced.

    Arguments:
        program: From ``x`` (state), ``t`` (time) and ``z`` (normals) to the next state.
        components: Number of components of the state.
        normals: Number of normals a path takes in a step.
    """

    program: Program
    components: int
    normals: int

    def source(self, *, single: bool, three_point: bool, cuda: bool) -> tuple[str, tuple[float, ...]]:
        """Return the source of the kernel and the constants it is called with.

        Arguments:
            single: Whether states are float and not double.
            three_point: Whether three-point noise takes the place of normals.
            cuda: Whether it is CUDA and not C.
        """
        lanes = LANES_OF_SMALL_STATES if self.components + self.normals <= SMALL_STATE else LANES_OF_LARGE_STATES
        stride = 1 if cuda else lanes
        base = (self.normals - 1) // NORMALS_PER_STREAM * NORMALS_PER_STREAM
        states = {f"x[{i}]": f"x[{i * stride}]" for i in range(self.components)}
        normals = {f"z[{j}]": f"z[{j * stride}]" for j in range(base)}
        normals |= {f"z[{j}]": f"tail[{j - base} * apart]" for j in range(base, self.normals)}
        function = c_function(
            self.program, {**states, **normals, "t[0]": "t"}, frozenset({"t[0]"}), list(states.values()), single
        )
        turns = 4 if len(self.program.needed()) <= SHORT_STEP else 1
        definitions = _definitions(self.components, self.normals, function.coefficient_count, lanes, turns, single)
        parts = [
            definitions,
            _random_streams(),
            f"#define pair_of_normals {'three_point_pair' if three_point else 'gaussian_pair'}",
            "" if cuda else mathematics(),
            "INLINE void coefficients(double t, const double *k, real *u)\n{\n" + function.coefficients + "\n}",
            "INLINE void step(const real *c, const real *u, const float *z, const float *tail, int apart, real *x)\n{\n"
            + function.body
            + "\n}",
            *(_local(name) for name in (["time_loop_cuda.h"] if cuda else ["draw_lanes.h", "time_loop_cpu.h"])),
        ]
        return "\n\n".join(parts), function.constants


def traced_step(stepping: Stepping) -> FusedStep:
    """Trace one step.

    Raises:
        Untraceable: If the step is not pointwise.
        TooLarge: If it has too many operations for a fused kernel.
    """
    # An ordinary state: a drift that looks at values does not get far with zeros or ones.
    state = torch.linspace(0.31, 0.67, stepping.components, dtype=torch.float64).unsqueeze(0)
    inputs = {
        "x": state,
        "t": torch.tensor(stepping.start, dtype=torch.float64),
        "z": torch.linspace(-0.7, 0.5, stepping.normals, dtype=torch.float64).unsqueeze(0),
    }
    program = trace(stepping.step, inputs)
    if len(program.needed()) > LARGEST_KERNEL:
        raise TooLarge(f"{len(program.needed())} operations on one state")
    if len(program.outputs) != stepping.components:
        raise ValueError(f"a step must return the shape of the state; got {len(program.outputs)} numbers.")
    return FusedStep(program, stepping.components, stepping.normals)


def normals_source(normals: int, three_point: bool) -> str:
    """Return the source of a kernel that writes the normals of steps that torch computes."""
    parts = [
        _definitions(1, normals, 0, LANES_OF_SMALL_STATES, 1, True),
        _random_streams(),
        f"#define pair_of_normals {'three_point_pair' if three_point else 'gaussian_pair'}",
        _local("draw_lanes.h"),
        _local("normals_cpu.h"),
    ]
    return "\n\n".join(parts)


def _definitions(components: int, normals: int, coefficients: int, lanes: int, turns: int, single: bool) -> str:
    lines = {"COMPONENTS": components, "NORMALS": normals, "COEFFICIENTS": coefficients, "LANES": lanes}
    lines["TURNS"] = turns
    return "\n".join(
        [
            *(f"#define {name} {value}" for name, value in lines.items()),
            f"typedef {'float' if single else 'double'} real;",
        ]
    )


@functools.cache
def _random_streams() -> str:
    return Path(physcore.streams.__file__).with_suffix(".h").read_text()


@functools.cache
def _local(name: str) -> str:
    return (Path(__file__).parent / name).read_text()
