"""The verb ``compare``: how far a learned score is from references, and what follows from it.

All that is compared is estimated in one pass over the paths. The sums of each block of paths are float64 and joined in
the order of the blocks, so the result does not depend on the number of ranks.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from analysis.comparison import Reversal, nearest_saved
from analysis.quantities.blocks import block_sums
from analysis.quantities.quantity import LEARNED, Estimator, Quantity, Subject, with_scatter
from analysis.quantities.reversal import FromInitialLaw, reversed_states
from analysis.quantities.score_between_times import at_all_times
from analysis.quantities.score_error import score_error
from analysis.references.reference import Reference
from physcore.communicator import Communicator, SerialCommunicator
from physcore.process import Process
from physcore.registry import name_of
from physcore.score.model import ScoreModel
from physcore.score.score_function import ScoreFunction
from physcore.trajectory import frames, validated_trajectories

__all__ = ["check_quantities", "check_reversed", "compare", "evaluate"]

BLOCKS = 32
BOX_MARGIN = 0.25  # of the spread of the simulated states, beyond which reversed ones are held


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
        blocks: Independent blocks of paths behind ``block_standard_error``, at least 2.
        communicator: Ranks that share the blocks; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset with dimensions ``reference``, ``selection`` (full, driven, each component) and ``time``: relative score
        error ``value`` with ``standard_error``, what the scatter of blocks says of that, ``block_standard_error``, the
        reference's mean square ``reference_norm``, its own relative error ``reference_error`` (NaN where unknown), the
        fraction of states ``outside`` that the reference knows nothing about, and ``trained``, 0 at times outside the
        trained range, where the value is NaN. So it is for selections with a component that the score does not learn;
        the attribute ``components`` names those that it does.

    Raises:
        ValueError: If a time was not saved, or there are fewer paths than blocks.
        NumericalError: If the learned score is not finite; the time is named.
    """
    return evaluate(
        score, references, trajectories, {}, times=times, blocks=blocks, communicator=communicator
    ).to_dataset()


def evaluate(
    score: ScoreModel,
    references: Reference | Mapping[str, Reference],
    trajectories: xr.Dataset,
    quantities: Mapping[str, Quantity],
    *,
    times: Sequence[float] | None = None,
    shown: Sequence[float] | None = None,
    blocks: int = BLOCKS,
    reversal: Reversal | None = None,
    start: xr.Dataset | None = None,
    seed: int = 0,
    communicator: Communicator | None = None,
) -> xr.DataTree:
    """Compare a learned score with references, and estimate what follows from it and from them.

    Arguments:
        score: The learned score.
        references: One reference, or several by name.
        trajectories: States to average over, dimensions ``path`` and ``time``.
        quantities: Quantities by name.
        times: Saved times to compare at; all within the trained range when None.
        shown: A few of them for what is costly or large; the last one when None.
        blocks: Independent blocks of paths behind ``block_standard_error``, at least 2.
        reversal: How states are run backwards, for quantities that ask for it.
        start: Trajectories from whose last states they are, other paths than those averaged over; these when None.
        seed: Seed of what is random.
        communicator: Ranks that share the blocks; serial when None. Every rank returns the same.

    Returns:
        At the root what ``compare`` returns; below, a group for each quantity: ``value`` with ``standard_error`` and
        ``block_standard_error``, dimension ``score`` (the learned one and the references), at all the times, NaN where
        it is estimated at some alone.

    Raises:
        ValueError: If a time was not saved, there are fewer paths than blocks, or a quantity cannot be had.
        NumericalError: If a learned score or a quantity is not finite.
    """
    communicator = communicator or SerialCommunicator()
    named = references if isinstance(references, Mapping) else {_name(references): references}
    chosen = validated_trajectories(score.process, trajectories)
    check_quantities(quantities, score.process, named, score.components)
    backwards = (reversal or Reversal()) if _needs_reversal(quantities) else None
    check_reversed(backwards, named)
    stops = () if backwards is None or backwards.times is None else backwards.times
    moments = _compared_times(chosen, score, times, (*(shown or ()), *stops))
    if not 2 <= blocks <= chosen.sizes["path"]:
        raise ValueError(f"`blocks` must be between 2 and the {chosen.sizes['path']} paths; got {blocks}.")
    trained = np.array([score.trained_at(time) for time in moments], dtype=bool)
    few = moments[trained][-1:] if shown is None else np.array([nearest_saved(moments, time) for time in sorted(shown)])
    for reference in named.values():
        reference.prepare(moments[trained].tolist(), communicator)
    subject = Subject(
        score=score,
        references=named,
        trajectories=chosen,
        times=moments[trained],
        shown=np.array([time for time in few if score.trained_at(float(time))]),
        blocks=blocks,
        reversed={}
        if backwards is None
        else _reversed(score, named, chosen if start is None else start, stops or few, backwards, seed, communicator),
    )
    error = score_error(score, named, moments, trained, communicator)
    root, groups = _estimated(subject, quantities, error, communicator)
    attributes = {"long_name": "time", "units": score.process.time_units}
    whole = {
        name: part.reindex(time=moments).assign_coords(time=("time", moments, attributes))
        for name, part in groups.items()
    }
    return xr.DataTree.from_dict({"/": root, **whole})


def check_quantities(
    quantities: Mapping[str, Quantity],
    process: Process,
    references: Mapping[str, Reference],
    components: Sequence[int],
) -> None:
    """Refuse quantities that a process, its references or a score cannot give.

    Arguments:
        quantities: Quantities by name.
        process: The process.
        references: References by name.
        components: Components that the learned score holds.

    Raises:
        ValueError: If one cannot be had; it is named, with the reason.
    """
    for name, quantity in quantities.items():
        try:
            quantity.check(process, references, components)
        except ValueError as error:
            raise type(error)(f"{name}: {error}") from error


def check_reversed(reversal: Reversal | None, references: Collection[str]) -> None:
    """Refuse names of scores to run backwards by that there are none of.

    Arguments:
        reversal: Settings; all is well when None.
        references: Names of the references.

    Raises:
        ValueError: If a name is unknown; those known are listed.
    """
    known = [LEARNED, *references]
    for name in (reversal.scores if reversal is not None else None) or ():
        if name not in known:
            raise ValueError(f"`reversal.scores` names {name!r}; there are {', '.join(known)}.")


def _estimated(
    subject: Subject, quantities: Mapping[str, Quantity], error: Estimator, communicator: Communicator
) -> tuple[xr.Dataset, dict[str, xr.Dataset]]:
    """Return the errors of the score, and the estimates of each quantity, from one pass over the paths."""
    made = {
        (name, score): quantity.estimator(subject, score)
        for name, quantity in quantities.items()
        for score in subject.scores
    }
    estimators = {key: estimator for key, estimator in made.items() if estimator is not None}
    root, *estimates = _scattered([error, *estimators.values()], subject, communicator)
    groups: dict[str, dict[str, xr.Dataset]] = {name: {} for name in quantities}
    for (name, score), estimate in zip(estimators, estimates, strict=True):
        groups[name][score] = estimate
    return root, {name: _together(parts) for name, parts in groups.items() if parts}


def _scattered(estimators: Sequence[Estimator], subject: Subject, communicator: Communicator) -> list[xr.Dataset]:
    sums = block_sums(
        subject.process,
        subject.trajectories,
        [(estimator.times, estimator.work) for estimator in estimators],
        blocks=subject.blocks,
        communicator=communicator,
        progress="compare",
    )
    estimates = with_scatter(estimators, sums, subject.trajectories.sizes["path"], communicator)
    return [estimate.assign_attrs(blocks=subject.blocks) for estimate in estimates]


def _together(parts: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return the estimates for all scores side by side; what differs among their attributes is told by score."""
    names = [name for name, variable in next(iter(parts.values())).data_vars.items() if "time" in variable.dims]
    together = xr.concat(
        list(parts.values()),
        xr.DataArray(list(parts), dims="score", name="score"),
        data_vars=names,
        coords="minimal",
        compat="override",
        combine_attrs="override",
    )
    for key in together.attrs:
        values = {score: part.attrs.get(key) for score, part in parts.items()}
        if len(set(values.values())) > 1:
            together.attrs[key] = "; ".join(f"{score}: {value}" for score, value in values.items())
    return together


def _needs_reversal(quantities: Mapping[str, Quantity]) -> bool:
    return any(quantity.needs_reversal for quantity in quantities.values())


def _reversed(
    score: ScoreModel,
    references: Mapping[str, Reference],
    start: xr.Dataset,
    stops: Sequence[float] | NDArray[np.float64],
    reversal: Reversal,
    seed: int,
    communicator: Communicator,
) -> dict[str, xr.Dataset]:
    """Return states run backwards from the last of the stops, by the name of the score that did."""
    process, saved = score.process, np.asarray(start["time"].values, dtype=np.float64)
    first = score.time_range[0] if not _gives_density(process) else -np.inf
    near = sorted({nearest_saved(saved, float(time)) for time in stops})
    times = [time for time in near if score.trained_at(time) or first <= time < score.time_range[0]]
    if len(times) < 2:
        raise ValueError(f"a reversal needs two `times` at least, from the last back to the first; got {times}.")
    # Those of the last paths: they were not learned from, and are others than the first that they are held against.
    count = min(reversal.paths, start.sizes["path"])
    part = start.isel(path=slice(start.sizes["path"] - count, None)).sel(time=times, method="nearest")
    states = frames(process, part, torch.float64)
    low, high = states.amin((0, 1)), states.amax((0, 1))
    margin = BOX_MARGIN * (high - low)
    made = {}
    for name in reversal.scores or [LEARNED]:
        known: tuple[ScoreFunction, float] = (score, score.time_range[0])
        if name != LEARNED:
            known = at_all_times(references[name], saved.tolist(), times[-1], communicator)
        if known[1] > times[0] and not _gives_density(process):
            raise ValueError(f"{name} is known from time {known[1]:g} on, and cannot be run back to {times[0]:g}.")
        made[name] = reversed_states(
            process,
            FromInitialLaw(known[0], process, known[1]),
            states[-1],
            times,
            reversal,
            seed=seed,
            start=float(saved[0]),
            walls=(low - margin, high + margin),
            device=next(score.parameters()).device,
            communicator=communicator,
        )
    return made


def _gives_density(process: Process) -> bool:
    try:
        process.initial_log_density(torch.zeros(1, process.dimension, dtype=torch.float64))
    except NotImplementedError:
        return False
    return True


def _name(reference: Reference) -> str:
    return name_of(type(reference)) or type(reference).__name__


def _compared_times(
    trajectories: xr.Dataset, score: ScoreModel, times: Sequence[float] | None, shown: Sequence[float]
) -> NDArray[np.float64]:
    """Return the saved times that are asked for, all at which the score is trained when None, and the shown ones."""
    saved = np.asarray(trajectories["time"].values, dtype=np.float64)
    asked = [float(time) for time in saved if score.trained_at(float(time))] if times is None else times
    return np.array(sorted({nearest_saved(saved, time) for time in (*asked, *shown)}))
