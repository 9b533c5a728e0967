"""How far a run has come, and which of its files belong to it.

A stage that is done again forgets the ones after it, whose files stay in the directory until they are made anew. They
are of an earlier score, and no page may show them as of this one.
"""

import dataclasses
from pathlib import Path

from physcore.score.checkpoint import METRICS
from physcore.storage.manifest import Manifest
from physcore.storage.run import RunFolder

__all__ = ["Stage", "stages_of"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of a run.

    Arguments:
        name: Its command.
        state: ``"done"``, ``"unfinished"`` or ``"not done"``.
        said: What there is, or what is missing and how to get it.
    """

    name: str
    state: str
    said: str

    @property
    def done(self) -> bool:
        """Whether its results are there and belong to the run."""
        return self.state == "done"


def stages_of(folder: RunFolder, manifest: Manifest) -> dict[str, Stage]:
    """Return the stages of a run by name.

    Arguments:
        folder: The run directory.
        manifest: Its manifest.
    """
    simulated = _simulated(folder, manifest)
    learned = _learned(folder, manifest)
    return {stage.name: stage for stage in (simulated, learned, _compared(folder, manifest, learned))}


def _simulated(folder: RunFolder, manifest: Manifest) -> Stage:
    if not manifest.blocks:
        said = "No trajectories are stored: the score is learned from fresh ones."
        return Stage(name="simulate", state="done", said=said)
    if manifest.complete:
        return Stage(name="simulate", state="done", said="The trajectories are complete.")
    stored, wanted = len(list(folder.trajectories.glob("block*.nc"))), manifest.blocks * manifest.segments
    said = f"The simulation is not finished: {stored} of {wanted} segments are stored. Run the same command again."
    return Stage(name="simulate", state="unfinished", said=said)


def _learned(folder: RunFolder, manifest: Manifest) -> Stage:
    if "fit" in manifest.stages and folder.score.is_file():
        return Stage(name="fit", state="done", said="The score is learned.")
    if "fit" in manifest.stages:
        said = f"A fit is recorded, but {folder.score.name} is missing. Learn the score with physcore fit."
        return Stage(name="fit", state="not done", said=said)
    if folder.checkpoints.is_dir():
        said = "The fit is not finished: the same command continues it from its last checkpoint."
        return Stage(name="fit", state="unfinished", said=said)
    return Stage(name="fit", state="not done", said="No score is learned. Learn one with physcore fit.")


def _compared(folder: RunFolder, manifest: Manifest, learned: Stage) -> Stage:
    if "compare" in manifest.stages and learned.done and folder.comparison.is_file():
        return Stage(name="compare", state="done", said="The score is compared with references.")
    if "compare" in manifest.stages and learned.done:
        said = f"A comparison is recorded, but {folder.comparison.name} is missing."
    elif folder.comparison.exists():
        said = f"{folder.comparison.name} and the figures are of an earlier score and are left out."
    else:
        said = "The score is not compared with any reference."
    if not manifest.blocks:
        how = "A comparison needs stored trajectories."
    else:
        how = "Compare it with physcore compare." if learned.done else "A comparison needs a learned score."
    return Stage(name="compare", state="not done", said=f"{said} {how}")


def metrics_of(folder: RunFolder, learned: Stage) -> Path | None:
    """Return the file with the losses of a fit, finished or not, None where there is none.

    Arguments:
        folder: The run directory.
        learned: The stage of the fit.
    """
    file = folder.checkpoints / METRICS if learned.state == "unfinished" else folder.metrics
    return file if learned.state != "not done" and file.is_file() else None
