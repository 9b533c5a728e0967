r"""The verb ``compare``: how far a learned score is from references.

.. math:: \epsilon(t) = \frac{E |s_\theta(X_t, t) - s_{\rm ref}(X_t, t)|^2}{E |s_{\rm ref}(X_t, t)|^2}

The expectation is over simulated states. The sums of each block of paths are float64 and joined in the order of the
blocks, so the result does not depend on the number of ranks. The standard error is that of a ratio of means over
independent blocks.

Source: relative Fisher divergence as in Boffi and Vanden-Eijnden, Probability flow solution of the Fokker-Planck
equation (2023); standard error of a ratio: Cochran, Sampling Techniques (1977), section 6.4.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from analysis.comparison import nearest_saved
from analysis.references.reference import Reference
from physcore.communicator import Communicator, SerialCommunicator
from physcore.errors import NumericalError
from physcore.registry import name_of
from physcore.score.model import ScoreModel
from physcore.trajectory import frames, validated_trajectories

__all__ = ["compare", "ratio_of_means"]

BLOCKS = 32


def compare(
    score: ScoreModel,
    references: Reference | Mapping[str, Reference],
    trajectories: xr.Dataset,
    *,
    times: Sequence[float] | None = None,
    blocks: int = BLOCKS,
    communicator: Communicator | None = None,
) -> xr.Dataset:
    """Compare a learned score with references on simulated states.

    Arguments:
        score: The learned score.
        references: One reference, or several by name.
        trajectories: States to average over, dimensions ``path`` and ``time``.
        times: Saved times to compare at; all within the trained range when None.
        blocks: Independent blocks of paths behind the standard errors, at least 2.
        communicator: Ranks that share the blocks; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset with dimensions ``reference``, ``selection`` (full, driven, each component) and ``time``: relative score
        error ``value`` with ``standard_error``, the reference's mean square ``reference_norm``, its own relative error
        ``reference_error`` (NaN where unknown), the fraction of states ``outside`` that the reference knows nothing
        about, and ``trained``, 0 at times outside the trained range, where the value is NaN. So it is for selections
        with a component that the score does not learn; the attribute ``components`` names those that it does.

    Raises:
        ValueError: If a time was not saved, or there are fewer paths than blocks.
        NumericalError: If the learned score is not finite; the time is named.
    """
    communicator = communicator or SerialCommunicator()
    named = references if isinstance(references, Mapping) else {_name(references): references}
    process = score.process
    chosen = validated_trajectories(process, trajectories)
    moments = _saved_times(chosen, score, times)
    paths = chosen.sizes["path"]
    if not 2 <= blocks <= paths:
        raise ValueError(f"`blocks` must be between 2 and the {paths} paths; got {blocks}.")
    trained = np.array([score.trained_at(time) for time in moments])
    for reference in named.values():
        reference.prepare([time for time, inside in zip(moments, trained, strict=True) if inside])
    edges = np.linspace(0, paths, blocks + 1).astype(int)
    mine: dict[int, NDArray[np.float64]] = {}
    progress = tqdm(list(communicator.share(blocks)), "compare", disable=None if communicator.rank == 0 else True)
    for block in progress:
        part = chosen.isel(path=slice(edges[block], edges[block + 1])).sel(time=moments, method="nearest")
        mine[block] = _block_sums(score, list(named.values()), frames(process, part), moments, trained)
    together = {block: sums for part in communicator.gather(mine) for block, sums in part.items()}
    sums = np.stack([together[block] for block in range(blocks)])
    return _dataset(score, named, np.array(moments), trained, Sums.of(sums))


@dataclasses.dataclass(frozen=True)
class Sums:
    """Sums of each block, shape ``(block, reference, time, component)``.

    Arguments:
        error: Squared differences.
        norm: Squared reference scores.
        known: Number of states that the reference knows, the same for all components.
        states: Number of states.
    """

    error: NDArray[np.float64]
    norm: NDArray[np.float64]
    known: NDArray[np.float64]
    states: NDArray[np.float64]

    @classmethod
    def of(cls, sums: NDArray[np.float64]) -> "Sums":
        """Name the first axis after the block's."""
        return cls(*(sums[:, i] for i in range(4)))


def _block_sums(
    score: ScoreModel,
    references: Sequence[Reference],
    states: Tensor,
    times: Sequence[float],
    trained: NDArray[np.bool],
) -> NDArray[np.float64]:
    """Return the sums of one block, shape ``(quantity, reference, time, component)``."""
    parameter = next(score.parameters())
    sums = np.zeros((4, len(references), len(times), states.shape[-1]))
    for k, time in enumerate(times):
        if not trained[k]:
            continue
        points = states[k].to(parameter.device)
        with torch.no_grad():
            learned = score(points, time).double()
        if not torch.isfinite(learned).all():
            raise NumericalError(f"the learned score is not finite at time {time:g}.")
        for r, reference in enumerate(references):
            exact = reference.score(points, time).double()
            known = torch.isfinite(exact).all(-1, keepdim=True)
            difference = torch.where(known, learned - exact, 0.0).square().sum(0)
            norm = torch.where(known, exact, 0.0).square().sum(0)
            sums[0, r, k], sums[1, r, k] = difference.cpu().numpy(), norm.cpu().numpy()
            sums[2, r, k], sums[3, r, k] = float(known.sum()), len(points)
    return sums


def ratio_of_means(
    numerators: NDArray[np.float64], denominators: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a ratio of means and its standard error over independent blocks.

    Arguments:
        numerators: Sums of each block, shape ``(block, ...)``.
        denominators: Sums of each block, the same shape.

    Returns:
        Ratio and standard error, shape ``(...)``; NaN where the denominators vanish.
    """
    blocks = len(numerators)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = numerators.sum(0) / denominators.sum(0)
        residuals = numerators - ratio * denominators
        error = np.sqrt(blocks / (blocks - 1) * np.square(residuals).sum(0)) / denominators.sum(0)
    return ratio, error


def _dataset(
    score: ScoreModel,
    references: Mapping[str, Reference],
    times: NDArray[np.float64],
    trained: NDArray[np.bool],
    sums: Sums,
) -> xr.Dataset:
    process = score.process
    names = [variable.name for variable in process.variables]
    selections = {
        "full": list(range(len(names))),
        "driven": list(process.driven),
        **{name: [i] for i, name in enumerate(names)},
    }
    value, error, norm = [], [], []
    for indices in selections.values():
        chosen = sums.norm[..., indices].sum(-1)
        learned = 1.0 if set(indices) <= set(score.components) else np.nan
        ratio = ratio_of_means(learned * sums.error[..., indices].sum(-1), chosen)
        value.append(ratio[0])
        error.append(ratio[1])
        with np.errstate(invalid="ignore"):
            norm.append(chosen.sum(0) / sums.known[..., 0].sum(0))
    with np.errstate(invalid="ignore"):
        outside = 1 - sums.known[..., 0].sum(0) / sums.states[..., 0].sum(0)
    own = [
        [_own_error(reference, time, inside) for time, inside in zip(times, trained, strict=True)]
        for reference in references.values()
    ]
    stacked = ("reference", "selection", "time")
    return xr.Dataset(
        {
            "value": (stacked, np.stack(value, 1), {"long_name": "relative score error", "units": "1"}),
            "standard_error": (stacked, np.stack(error, 1), {"long_name": "standard error of value", "units": "1"}),
            "reference_norm": (stacked, np.stack(norm, 1), {"long_name": "mean square of the reference score"}),
            "reference_error": (("reference", "time"), own, {"long_name": "reference's own relative error"}),
            "outside": (("reference", "time"), outside, {"long_name": "fraction of states outside the reference"}),
            "trained": ("time", trained.astype(np.int8), {"long_name": "1 where the score was trained"}),
        },
        {
            "reference": list(references),
            "selection": list(selections),
            "time": ("time", times, {"long_name": "time", "units": process.time_units}),
        },
        {
            "process": name_of(type(process)) or type(process).__qualname__,
            "components": " ".join(names[i] for i in score.components),
            "blocks": len(sums.error),
        },
    )


def _own_error(reference: Reference, time: float, inside: bool) -> float:
    known = reference.error_estimate(time) if inside else None
    return float("nan") if known is None else known


def _name(reference: Reference) -> str:
    return name_of(type(reference)) or type(reference).__name__


def _saved_times(trajectories: xr.Dataset, score: ScoreModel, times: Sequence[float] | None) -> list[float]:
    saved = np.asarray(trajectories["time"].values, dtype=np.float64)
    if times is None:
        return [float(time) for time in saved if score.trained_at(float(time))]
    return [nearest_saved(saved, time) for time in sorted(times)]
