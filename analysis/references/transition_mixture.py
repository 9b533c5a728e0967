r"""The score of the average of transition kernels from simulated states.

.. math:: \hat q_t(x) = \frac1N \sum_{n=1}^N \hat q(x, t \mid y_s^n, s), \qquad s(x, t) = \nabla \log \hat q_t(x)

A kernel density estimate whose bandwidth the dynamics chose: every simulated state at an earlier time spreads into the
Gaussian that the process makes of it until :math:`t`. With the kernels of local denoising score matching this is what
its network would learn from the same states, had it no error of its own. A longer lag has a larger kernel, which
smooths without cost as long as the kernel is that of the process.

Source: the Chapman-Kolmogorov equation; as the minimiser of local denoising score matching, Singhal, Goldstein and
Ranganath, What's the score? Automated denoising score matching for nonlinear diffusions (2024), lemma 1.
"""

import math
from collections.abc import Sequence

import xarray as xr

from analysis.references.sampled import SampledReference
from analysis.references.samples.gaussian_sum import GaussianSum
from analysis.references.samples.lag_choice import Judge, LagError, ladder
from physcore.communicator import Communicator, SerialCommunicator
from physcore.process import Process
from physcore.score.kernels import GaussianClosure, Kernel

__all__ = ["TransitionMixture"]


class TransitionMixture(SampledReference):
    r"""The average of the kernels from all simulated states a lag before.

    Arguments:
        process: The process.
        trajectories: Simulated paths, dimensions ``path`` and ``time``; without them nothing can be estimated.
        kernel: Gaussian kernel to the time of the score.
        lag: Lag :math:`t - s`, [time]: the states are those of the last frame at least this long before, of the
            first where there is none. At each time the lag with the least error is chosen when None.
        paths: How many of the paths to use, the first; all when None.

    Raises:
        ValueError: If ``lag`` is not positive and finite, or ``paths`` are too few.

    Error:
        See ``error_estimate``. In many dimensions a state is reached by few kernels, and the average needs too many.
        Memory: (d + 1) (d + 2) / 2 numbers for each path and time.

    Source: see the module.
    """

    def __init__(
        self,
        process: Process,
        trajectories: xr.Dataset | None = None,
        *,
        kernel: Kernel | None = None,
        lag: float | None = None,
        paths: int | None = None,
    ) -> None:
        super().__init__(process, trajectories, paths=paths)
        if lag is not None and not (lag > 0 and math.isfinite(lag)):
            raise ValueError(f"`lag` must be positive and finite; got {lag}.")
        self.kernel = GaussianClosure() if kernel is None else kernel
        self._lag = lag
        self._transitions = self.kernel.of(process)
        self._errors: dict[float, LagError] = {}
        self._starts: dict[float, float] = {}

    @property
    def options(self) -> dict[str, object]:
        """The options by name; see ``SampledReference.options``."""
        return {"kernel": self.kernel, "lag": self._lag, "paths": self.paths}

    def prepare(self, times: Sequence[float], communicator: Communicator | None = None) -> None:
        """Choose the lag of each of the times, and learn the law there.

        Arguments:
            times: Times, each later than the first frame.
            communicator: Ranks that share the times; serial when None.

        Raises:
            ValueError: If a time is not later than the first frame, or there are no trajectories.
            NumericalError: If no lag can be used.
        """
        ranks = communicator or SerialCommunicator()
        wanted = ranks.broadcast([float(time) for time in times if float(time) not in self._starts])
        self._starts |= zip(wanted, ranks.map(lambda which: self._start(wanted[which]), len(wanted)), strict=True)
        super().prepare(times, ranks)

    def supporting_times(self, times: Sequence[float]) -> list[float]:
        """Return the times that are later than the first frame; see ``Reference.supporting_times``."""
        return super().supporting_times(times)[1:]

    def lag(self, time: float) -> float:
        """Return the lag that is used for the score at a time."""
        return time - self._start(time)

    def learn(self, time: float) -> GaussianSum:
        """Return the average of the kernels to a time."""
        start = self._start(time)
        kernels = self._judge(time).kernels(self.states(start), start)
        return GaussianSum(kernels.mean.T, kernels.factor)

    def error_estimate(self, time: float, components: Sequence[int] | None = None) -> float:
        r"""Return the relative squared error of the score, :math:`E|\delta s|^2 / E|s|^2`.

        Arguments:
            time: Time of the law.
            components: Components of the score; all when None.

        Returns:
            Variance, by the jackknife, and bias of the kernel, against the process itself. The error of one pool
            differs from it by tens of percent; above 1 %, where few kernels reach a state, it is up to twice as large.
        """
        chosen = range(self.process.dimension) if components is None else components
        return self._error(time).relative(chosen)

    def error_estimates(self, times: Sequence[float], communicator: Communicator | None = None) -> list[float | None]:
        """Return the relative squared errors at some times; see ``Reference.error_estimates``."""
        ranks = communicator or SerialCommunicator()
        wanted = ranks.broadcast([float(time) for time in times if float(time) not in self._errors])
        self._errors |= zip(wanted, ranks.map(lambda which: self._error(wanted[which]), len(wanted)), strict=True)
        return [self.error_estimate(float(time)) for time in times]

    def _error(self, time: float) -> LagError:
        if time not in self._errors:
            judge, start = self._judge(time), self._start(time)
            self._errors[time] = judge.error(start, judge.points(self.states(start), start))
        return self._errors[time]

    def _start(self, time: float) -> float:
        if time not in self._starts:
            starts = ladder(self.times, time)
            if self._lag is None:
                self._starts[time] = self._judge(time).best(starts).start
            else:
                frames = self.times
                early = frames[frames <= time - self._lag + 1e-6 * self._lag]
                self._starts[time] = float(early[-1] if len(early) else frames[0])
        return self._starts[time]

    def _judge(self, time: float) -> Judge:
        return Judge(process=self.process, transitions=self._transitions, time=time, states=self.states)
