r"""The relative error of a learned score against references.

.. math:: \epsilon(t) = \frac{E |s_\theta(X_t, t) - s_{\rm ref}(X_t, t)|^2}{E |s_{\rm ref}(X_t, t)|^2}

The expectation is over simulated states.

Source: relative Fisher divergence as in Boffi and Vanden-Eijnden, Probability flow solution of the Fokker-Planck
equation (2023).
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.quantities.blocks import Block, Sums
from analysis.quantities.path_means import PathMeans, sums_of_ratio
from analysis.quantities.quantity import Estimator
from analysis.quantities.sampled_score import SampledScore
from analysis.quantities.selections import selected_squares, selections
from analysis.references.reference import Reference
from physcore.communicator import Communicator
from physcore.registry import name_of
from physcore.score.model import ScoreModel

__all__ = ["score_error"]


def score_error(
    score: ScoreModel,
    references: Mapping[str, Reference],
    times: NDArray[np.float64],
    trained: NDArray[np.bool],
    communicator: Communicator | None = None,
) -> Estimator:
    """Return how the relative errors are estimated.

    Arguments:
        score: The learned score.
        references: References by name, their work done.
        times: Saved times, increasing.
        trained: At which of them the score is trained; at the others nothing is known.
        communicator: Ranks that share what the references' own errors cost; serial when None.
    """
    process, kinds = score.process, selections(score.process)
    learned = SampledScore(process, score, score.components)
    sampled = [SampledScore(process, reference) for reference in references.values()]
    own = np.full((len(references), len(times)), np.nan)
    for row, reference in zip(own, references.values(), strict=True):
        known = reference.error_estimates(times[trained].tolist(), communicator)
        row[trained] = [np.nan if error is None else error for error in known]

    def work(block: Block) -> Sums:
        sums = np.zeros((7, len(sampled), len(times), len(kinds)))
        for frame in block:
            sums[6, :, frame.index] = len(frame.states)
            if not trained[frame.index]:
                continue
            guess, _ = learned.at(frame)
            for r, reference in enumerate(sampled):
                true, known = reference.at(frame)
                error, norm = (selected_squares(process, values) for values in (guess - true, true))
                sums[:6, r, frame.index] = sums_of_ratio(error, norm, known)
        return sums

    def dataset(sums: Sums, paths: int) -> xr.Dataset:
        return _dataset(score, list(references), times, trained, own, sums, paths)

    return Estimator(times, work, dataset)


def _dataset(
    score: ScoreModel,
    references: list[str],
    times: NDArray[np.float64],
    trained: NDArray[np.bool],
    own: NDArray[np.float64],
    sums: Sums,
    paths: int,
) -> xr.Dataset:
    process, kinds = score.process, selections(score.process)
    ratio = PathMeans.of_ratio(sums[:6])
    held = np.array([1.0 if set(indices) <= set(score.components) else np.nan for indices in kinds.values()])
    with np.errstate(invalid="ignore", divide="ignore"):
        norm = sums[2] / sums[0]
    outside = np.where(trained, 1 - sums[0, ..., 0] / sums[6, ..., 0], np.nan)
    stacked, single = ("reference", "time", "selection"), ("reference", "time")
    names = [variable.name for variable in process.variables]
    return xr.Dataset(
        {
            "value": (stacked, held * ratio.value, {"long_name": "relative score error", "units": "1"}),
            "standard_error": (
                stacked,
                held * ratio.standard_error,
                {"long_name": "standard error of value", "units": "1"},
            ),
            "reference_norm": (stacked, norm, {"long_name": "mean square of the reference score"}),
            "reference_error": (single, own, {"long_name": "reference's own relative error", "units": "1"}),
            "outside": (single, outside, {"long_name": "fraction of states outside the reference", "units": "1"}),
            "trained": ("time", trained.astype(np.int8), {"long_name": "1 where the score was trained"}),
        },
        {
            "reference": references,
            "selection": list(kinds),
            "time": ("time", times, {"long_name": "time", "units": process.time_units}),
        },
        {
            "Conventions": "CF-1.11",
            "process": name_of(type(process)) or type(process).__qualname__,
            "components": " ".join(names[i] for i in score.components),
            "paths": paths,
        },
    ).transpose("reference", "selection", "time")
