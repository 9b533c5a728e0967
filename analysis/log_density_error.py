r"""Error of a log density against a reference, over simulated states.

.. math:: \Delta(x, t) = \log q_{\rm ref}(x, t) - \log q(x, t)

Its mean over states of the reference's law is the Kullback-Leibler divergence :math:`D(q_{\rm ref} \| q)`, positive for
a normalised :math:`q`; its mean square shows what the mean may cancel.

Source: Cover and Thomas, Elements of Information Theory (2006), section 2.3.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import xarray as xr

from analysis.path_means import Frame, PathMeans, Sums, reduced, saved_times, sums_of
from analysis.references.reference import Reference
from physcore.communicator import Communicator
from physcore.process import Process
from physcore.score.score_function import LogDensity

__all__ = ["log_density_error"]

STATISTICS = ("mean", "mean square")


def log_density_error(
    process: Process,
    density: LogDensity,
    reference: LogDensity,
    trajectories: xr.Dataset,
    *,
    times: Sequence[float] | None = None,
    communicator: Communicator | None = None,
) -> xr.Dataset:
    """Return mean and mean square of the error of a log density along simulated paths.

    Arguments:
        process: The process.
        density: Anything with ``log_density(state, time)``, such as a ``ProbabilityFlow``.
        reference: The same, taken for true.
        trajectories: States to average over, dimensions ``path`` and ``time``.
        times: Saved times; all when None.
        communicator: Ranks that share the blocks of paths; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset with dimensions ``statistic`` (mean, mean square) and ``time``: ``value`` with ``standard_error``, and
        the fraction of states ``outside`` that one of the two does not know.

    Raises:
        ValueError: If a time was not saved.
        NumericalError: If a state is not finite.
    """
    moments = saved_times(process, trajectories, times)
    for one in (density, reference):
        if isinstance(one, Reference):
            one.prepare([float(time) for time in moments])

    def work(block: Iterator[Frame]) -> Sums:
        sums = np.zeros((3, len(moments), len(STATISTICS)))
        for frame in block:
            with torch.no_grad():
                true, given = (one.log_density(frame.states, frame.time).double().cpu() for one in (reference, density))
            error = true - given
            sums[:, frame.index] = sums_of(torch.stack([error, error.square()], -1), torch.isfinite(error))
        return sums

    sums = reduced(process, trajectories, moments, work, communicator)
    means, paths = PathMeans.of(sums), trajectories.sizes["path"]
    stacked = ("statistic", "time")
    return xr.Dataset(
        {
            "value": (stacked, means.value.T, {"long_name": "error of the log density", "units": "1"}),
            "standard_error": (stacked, means.standard_error.T, {"long_name": "standard error of value"}),
            "outside": ("time", 1 - sums[0, :, 0] / paths, {"long_name": "fraction of states that are not known"}),
        },
        {
            "statistic": list(STATISTICS),
            "time": ("time", moments, {"long_name": "time", "units": process.time_units}),
        },
        {"paths": paths},
    )
