"""The command ``fit``."""

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from physcore.command import Command, Job
from physcore.configuration import default_run, merged
from physcore.registry import names
from physcore.score.training import Training

if TYPE_CHECKING:
    from physcore.score.model import ScoreModel

__all__ = ["Fit", "FitCommand", "base_of_run"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """What to learn and how.

    Arguments:
        objective: Registered ``name`` of the objective, and its parameters.
        model: Registered ``name`` of the parametrisation, and its parameters.
        training: Steps, batch, learning rate and the rest.
    """

    objective: dict[str, Any] = dataclasses.field(default_factory=lambda: {"name": "local-denoising"})
    model: dict[str, Any] = dataclasses.field(default_factory=lambda: {"name": "local"})
    training: Training = dataclasses.field(default_factory=Training)

    def __post_init__(self) -> None:
        for part in ("objective", "model"):
            if not isinstance(getattr(self, part).get("name"), str):
                raise ValueError(f"`{part}` must have a `name`; known: {', '.join(names(f'physcore.{part}s'))}.")


def base_of_run(target: str) -> dict[str, Any]:
    """Return the configuration of a run directory: its process's default run, and what the run itself recorded.

    Arguments:
        target: A run directory.

    Raises:
        DataFileError: If it is no run.
    """
    from pathlib import Path

    from physcore.storage.manifest import Manifest

    manifest = Manifest.read(Path(target))
    default = default_run(manifest.process) if manifest.process in names("physcore.processes") else {}
    recorded = {stage: {k: v for k, v in request.items() if k != "seed"} for stage, request in manifest.stages.items()}
    run = {"process": manifest.process, "parameters": manifest.parameters, "seed": int(manifest.seed), "out": target}
    return merged(default, recorded) | run


class FitCommand(Command):
    """Learn a score from the trajectories of a run."""

    summary: ClassVar[str] = "learn the score of a run's trajectories"
    target: ClassVar[str] = "A run directory."
    section: ClassVar[type | None] = Fit

    def base(self, target: str) -> dict[str, Any]:
        """Return the configuration of a run directory."""
        return base_of_run(target)

    def check(self, job: Job) -> None:
        """Refuse an objective or a model that cannot be built."""
        settings = job.settings.sections["fit"]
        _built("objective", settings.objective)
        _built("model", settings.model)

    def run(self, job: Job) -> None:
        """Fit, or continue, or find that all is there."""
        from physcore.storage.lock import locked
        from physcore.storage.manifest import Manifest

        folder, communicator = job.folder, job.communicator
        Manifest.read(folder.path)
        with locked(folder.path, communicator):
            folder.verify(communicator)
            request = dataclasses.asdict(job.settings.sections["fit"]) | {"seed": self._seed(job)}
            done = folder.stage_is_done("fit", request, [folder.score, folder.history], job.settings.overwrite)
            communicator.barrier()
            if done:
                job.say(f"fit: done already -> {folder.score}")
                return
            job.say(f"fit: {request['objective']}, {request['training']['steps']} steps -> {folder.score}")
            score = self._fit(job)
            if communicator.rank == 0:
                self._publish(job, score, request)
            communicator.barrier()

    def _fit(self, job: Job) -> "ScoreModel":
        import shutil

        from physcore.device import resolve_device
        from physcore.registry import build
        from physcore.score.fit import fit
        from physcore.storage.run import open_run

        folder, communicator, settings = job.folder, job.communicator, job.settings.sections["fit"]
        if job.settings.overwrite and communicator.rank == 0:
            shutil.rmtree(folder.checkpoints, ignore_errors=True)
        communicator.barrier()
        manifest = folder.manifest
        process = build("physcore.processes", manifest.process, manifest.parameters)
        return fit(
            process,
            open_run(folder.path),
            objective=_built("objective", settings.objective),
            model=_built("model", settings.model),
            training=settings.training,
            seed=self._seed(job),
            device=resolve_device(job.settings.shared.device, communicator.rank_on_host()),
            checkpoints=folder.checkpoints,
            communicator=communicator,
            stop=job.stop,
        )

    def _publish(self, job: Job, score: "ScoreModel", request: dict[str, Any]) -> None:
        import shutil

        from physcore.score.checkpoint import save_score
        from physcore.storage.netcdf import write_dataset

        folder = job.folder
        save_score(score, folder.score)
        if score.history is not None:
            write_dataset(score.history, folder.history)
        folder.manifest.staged("fit", request).write(folder.path)
        shutil.rmtree(folder.checkpoints, ignore_errors=True)

    def _seed(self, job: Job) -> int:
        seed = job.settings.shared.seed
        return int(job.folder.manifest.seed) if seed is None else seed


def _built(part: str, spec: dict[str, Any]) -> Any:
    from physcore.registry import build

    parameters = {key: value for key, value in spec.items() if key != "name"}
    return build(f"physcore.{part}s", spec["name"], parameters)
