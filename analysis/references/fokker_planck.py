r"""The score from the Fokker-Planck equation, solved on a grid in one, two or three dimensions.

.. math:: \partial_t p = -\nabla \cdot (f p) + \tfrac12 \nabla \cdot (G G^T \nabla p), \qquad s = \nabla \log p

Transport is semi-Lagrangian, conservative and monotone (``grid.transport``), noise is convolution with a Gaussian
(``grid.diffusion``), both composed with positive steps at the points of Gauss's quadrature (``grid.splitting``). The
density is thus positive and conserved to rounding at any step, and noise may act on one component alone. The box
follows pilot paths (``grid.pilot``); grid and step are refined until the score agrees with itself
(``grid.refinement``). The stationary law is where the steps leave the density as it is (``grid.stationary``).

In three dimensions an inertial active particle in a spring took 0.39 GB above the interpreter's 0.59 GB at one time and
128^3 cells, measured; drifts that depend on more axes take more. Each time keeps 8 bytes a cell, 1 GB at most in all.
"""

import contextlib
import json
import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from analysis.references.grid.archive import read_solution, write_solution
from analysis.references.grid.cells import Array
from analysis.references.grid.density import density_array
from analysis.references.grid.march import Resolution
from analysis.references.grid.options import Box, Options
from analysis.references.grid.periods import check_turns
from analysis.references.grid.pilot import Window, survey
from analysis.references.grid.progress import progress_bar
from analysis.references.grid.solution import Solution, refine, with_young_times
from analysis.references.grid.stationary import stationary_window
from analysis.references.reference import Reference, scalar_time
from physcore.communicator import Communicator, SerialCommunicator
from physcore.process import Process

__all__ = ["FokkerPlanck"]

SAME_TIME = 1e-6  # relative, so that times that went through float32 are found


class FokkerPlanck(Reference):
    r"""The score on a grid, with its own error estimate by refinement.

    Without options the box, the cells and the step are found. An equation is solved once for all times asked for.

    Arguments:
        process: A process in one to three dimensions with an ``initial_log_density``.
        box: Lower and upper end of each component, such as ``((-3, 3), (-6, 6))``; found from pilot paths, anew
            wherever the density has grown, shrunk or moved, when None. Nothing flows through its ends.
        periods: Length of a turn of the components that close on themselves, by name, such as ``{"theta": 2 * pi}``.
            The law is then that of the wrapped component, and states on every turn are answered alike.
        cells: Cells along each component, multiples of 4 from 32 on; refined until ``tolerance`` when None.
        step: Largest time step, shorter where a stretch between times would take less than 4; needs ``cells``. From the
            drift's rate when None.
        tolerance: Relative squared score error to refine to, of the full score and of the driven components.
        max_cells: Cells in total beyond which refinement ends with a warning; 2^14, 2^20 and 2^21 in one, two and three
            dimensions when None.
        progress: Called with the fraction done of each of the refinement's solutions; a bar on a terminal when None.

    Raises:
        ValueError: If an option is out of range the process has more than three dimensions, or a period is not its own.
        NotImplementedError: If the process gives no ``initial_log_density``.

    Error:
        Order 4 in the cell width and 2 in the step, 4 where noise drives what transport alone carries on; see
        ``error_estimate``. Scores at densities below 1e-12 of the largest are NaN.
    """

    def __init__(
        self,
        process: Process,
        *,
        box: Box | None = None,
        periods: dict[str, float] | None = None,
        cells: tuple[int, ...] | None = None,
        step: float | None = None,
        tolerance: float = 1e-5,
        max_cells: int | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        if process.dimension not in (1, 2, 3):
            raise ValueError(
                f"`process` must have 1 to 3 dimensions for a grid; {type(process).__name__} has {process.dimension}. "
                "Use the exact reference or samples."
            )
        self.process = process
        names = tuple(variable.name for variable in process.variables)
        self._options = Options(
            names=names, box=box, periods=periods, cells=cells, step=step, tolerance=tolerance, max_cells=max_cells
        )
        self._progress = progress
        process.initial_log_density(process.sample_initial(1, torch.Generator().manual_seed(0)))
        check_turns(process, self._options.turns, [0.0])
        self._solution: Solution | None = None

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self._options.parameters.items())
        return f"FokkerPlanck({self.process!r}{options})"

    @property
    def times(self) -> tuple[float, ...]:
        """The times solved for, increasing."""
        return () if self._solution is None else tuple(sorted(self._solution.tables))

    @property
    def resolution(self) -> tuple[tuple[int, ...], float]:
        """Cells along each component and largest step of the finest solution.

        Raises:
            ValueError: If nothing has been solved.
        """
        if self._solution is None:
            raise ValueError("nothing has been solved; call `prepare` with times first.")
        return self._solution.counts, self._solution.step

    def prepare(self, times: Sequence[float], communicator: Communicator | None = None) -> None:
        """Solve up to the last of the times and keep the density at each; none solved for is solved again.

        Arguments:
            times: Times, none negative; infinite for the stationary law, which does not depend on the initial one.
            communicator: Ranks, of which the first solves for all; serial when None.

        Raises:
            ValueError: If a time is negative, or infinite for a process whose drift or noise depends on time.
            NumericalError: If drift, noise or density leave the finite numbers; the time is named.

        Warns:
            UserWarning: If the tolerance was not reached, or probability was lost or touches the ends of the box.
        """
        wanted = [float(time) for time in times]
        if negative := [time for time in wanted if not time >= 0]:
            raise ValueError(f"`times` must not be negative; got {negative[0]}.")
        ranks = communicator or SerialCommunicator()
        if ranks.any(any(self._nearest(time) is None for time in wanted)):
            self._solution = ranks.once(lambda: self._solved(wanted))

    def supporting_times(self, times: Sequence[float]) -> list[float]:
        """Return times from 0 on, denser where the law is young; see ``Reference.supporting_times``."""
        return with_young_times(times)

    def prepare_from(self, file: Path, times: Sequence[float], communicator: Communicator | None = None) -> None:
        """Take the solution from a file where it was left before, else solve and leave it there.

        A file of another process, other options or other times is replaced. See ``Reference.prepare_from``.
        """
        ranks = communicator or SerialCommunicator()
        if ranks.rank == 0 and not self._taken(file, times):
            self.prepare(times)
            self.save(file)
        ranks.barrier()
        if ranks.rank > 0 and not self._taken(file, times):
            self.prepare(times)

    def score(self, state: Tensor, time: Tensor | float) -> Tensor:
        """Return the score at one time, solving first where needed.

        Arguments:
            state: States, shape ``(..., component)``.
            time: One time, shape ``()``.

        Returns:
            Shape, dtype and device of ``state``; NaN outside the box and where the density is below 1e-12 of its
            largest value.
        """
        _, score = self._evaluate(state, time)
        return torch.from_numpy(score).reshape(state.shape).to(dtype=state.dtype, device=state.device)

    def log_density(self, state: Tensor, time: Tensor | float) -> Tensor:
        """Return the log density at one time, solving first where needed.

        Arguments:
            state: States, shape ``(..., component)``.
            time: One time, shape ``()``.

        Returns:
            Shape ``(...)``, dtype and device of ``state``; NaN where ``score`` is.
        """
        logarithm, _ = self._evaluate(state, time)
        return torch.from_numpy(logarithm).reshape(state.shape[:-1]).to(dtype=state.dtype, device=state.device)

    def error_estimate(self, time: float, components: Sequence[int] | None = None) -> float:
        r"""Return the relative squared error of the score, :math:`E|\delta s|^2 / E|s|^2`, by refinement.

        Arguments:
            time: Time of the law.
            components: Components of the score; all when None.

        Returns:
            The estimate, from the differences between three grids and their observed order.
        """
        solution, key = self._at(time)
        chosen = range(self.process.dimension) if components is None else components
        return solution.relative_error(key, chosen)

    def score_norm(self, time: float) -> NDArray[np.float64]:
        """Return the mean square of each score component, shape ``(component,)``, by quadrature on the grid."""
        solution, key = self._at(time)
        return solution.norms[key].copy()

    def mass(self, time: float) -> float:
        """Return the total probability on the grid; nothing is ever normalised."""
        solution, key = self._at(time)
        return solution.tables[key].mass

    def density(self, time: float) -> xr.DataArray:
        """Return the density on the grid, dimensions and coordinates named as the variables of the process."""
        solution, key = self._at(time)
        return density_array(solution.tables[key], self.process.variables, key)

    def save(self, path: str | Path) -> None:
        """Write the solution to a netCDF file, whole or not at all.

        Raises:
            ValueError: If nothing has been solved.
            StorageError: If writing fails.
        """
        if self._solution is None:
            raise ValueError("nothing has been solved; call `prepare` with times before `save`.")
        write_solution(Path(path), self.process, self._solution, json.dumps(self._options.parameters))

    @classmethod
    def load(cls, path: str | Path, process: Process) -> "FokkerPlanck":
        """Read a saved solution.

        Arguments:
            path: The file.
            process: The process it was solved for.

        Raises:
            ValueError: If the file holds something else, or the solution of another process or other parameters.
            DataFileError: If the file is missing or damaged.
        """
        solution, text = read_solution(Path(path), process)
        options = json.loads(text)
        if options["box"] is not None:
            options["box"] = tuple((low, high) for low, high in options["box"])
        if options["cells"] is not None:
            options["cells"] = tuple(options["cells"])
        loaded = cls(process, **options)
        loaded._solution = solution
        return loaded

    def _taken(self, file: Path, times: Sequence[float]) -> bool:
        """Take the solution from a file if it is there, of this process, these options and these times."""
        if file.exists():
            with contextlib.suppress(ValueError):
                kept = FokkerPlanck.load(file, self.process)
                if kept._options == self._options and all(kept._nearest(time) is not None for time in times):
                    self._solution = kept._solution
                    return True
        return False

    def _solved(self, wanted: Sequence[float]) -> Solution:
        times = sorted({*self.times, *(time for time in wanted if self._nearest(time) is None)})
        windows, announce = self._windows(times), self._announce
        solution = refine(self.process, windows, self._options.coarsest, times, announce, self._is_enough)
        for concern in solution.concerns(self.process.driven, self._options.goal):
            warnings.warn(concern, stacklevel=5)
        return solution

    def _windows(self, times: Sequence[float]) -> list[Window]:
        turns, box = self._options.turns, self._options.box
        finite = [time for time in times if math.isfinite(time)]
        check_turns(self.process, turns, finite or [0.0])
        windows = survey(self.process, finite[-1], turns).windows(box) if finite else []
        return windows if len(finite) == len(times) else [*windows, stationary_window(self.process, turns, box)]

    def _is_enough(self, solution: Solution) -> bool:
        return self._options.is_enough(solution.counts, len(solution.tables), solution.worst_error(self.process.driven))

    def _announce(self, resolution: Resolution) -> Callable[[float], None]:
        return progress_bar(resolution) if self._progress is None else self._progress

    def _nearest(self, time: float) -> float | None:
        near = [known for known in self.times if math.isclose(known, time, rel_tol=SAME_TIME, abs_tol=1e-12)]
        return min(near, key=lambda known: abs(known - time), default=None)

    def _at(self, time: Tensor | float) -> tuple[Solution, float]:
        moment = scalar_time(time) if isinstance(time, Tensor) else float(time)
        if self._nearest(moment) is None:
            self.prepare([moment])
        key = self._nearest(moment)
        if self._solution is None or key is None:
            raise RuntimeError(f"no solution at time {moment}")
        return self._solution, key

    def _evaluate(self, state: Tensor, time: Tensor | float) -> tuple[Array, Array]:
        if state.ndim == 0 or state.shape[-1] != self.process.dimension:
            raise ValueError(
                f"`state` must have {self.process.dimension} components on its last axis; got {tuple(state.shape)}."
            )
        solution, key = self._at(time)
        points = state.detach().cpu().double().reshape(-1, self.process.dimension).numpy()
        return solution.tables[key].evaluate(points)
