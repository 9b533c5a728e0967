"""How the error of a score fell while it was trained: scores that were kept on the way, compared with a reference."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr

from analysis.compare import compare
from analysis.references.reference import Reference
from physcore.communicator import Communicator
from physcore.score.checkpoint import load_score
from physcore.storage.netcdf import read_dataset
from physcore.storage.run import RunFolder

__all__ = ["TRAINING_ERRORS", "training_errors"]

TRAINING_ERRORS = "error-in-training"
PATHS = 4096


def training_errors(
    folder: RunFolder,
    references: Mapping[str, Reference],
    trajectories: xr.Dataset,
    times: Sequence[float],
    *,
    device: torch.device | str = "cpu",
    communicator: Communicator | None = None,
) -> xr.Dataset | None:
    """Return the relative errors of the scores that a fit kept on the way.

    Arguments:
        folder: The run directory.
        references: References by name, their work done; the first one is compared with.
        trajectories: States to average over, dimensions ``path`` and ``time``; a few thousand paths are used.
        times: Saved times, trained or not.
        device: Where the scores are evaluated.
        communicator: Ranks that share the blocks; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset with dimensions ``elapsed``, the time spent training, and ``time``: relative error ``value`` of all that
        is learned, with ``standard_error``, and the ``step``; None where no score was kept.
    """
    files = sorted(folder.snapshots.glob("step*.pt"))
    if not files or not folder.history.exists():
        return None
    history = read_dataset(folder.history)
    name, reference = next(iter(references.items()))
    # Few states, that are read once for all the scores.
    part = trajectories.isel(path=slice(PATHS)).sel(time=list(times), method="nearest").load()
    errors = []
    for file in files:
        score = load_score(file, device=device)
        trained = [time for time in times if score.trained_at(time)]
        whole = "full" if len(score.components) == score.process.dimension else "driven"
        result = compare(score, {name: reference}, part, times=trained, communicator=communicator)
        errors.append(result[["value", "standard_error"]].sel(reference=name, selection=whole, drop=True))
    steps = np.array([int(file.stem.removeprefix("step")) for file in files])
    seconds = history["elapsed"].sel(step=steps).values
    elapsed = xr.DataArray(seconds, dims="elapsed", attrs={"long_name": "time spent training", "units": "s"})
    together = xr.concat(errors, elapsed.rename("elapsed"), combine_attrs="override")
    together["step"] = ("elapsed", steps, {"long_name": "optimiser step", "units": "1"})
    return together.assign_attrs(reference=name)
