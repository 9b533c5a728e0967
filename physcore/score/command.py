"""The command ``fit``."""

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from physcore.command import Command, Job
from physcore.configuration import default_run, merged, target_run
from physcore.registry import NAMED, load, name_and_parameters, names
from physcore.score.training import Training

if TYPE_CHECKING:
    from physcore.score.model import ScoreModel

__all__ = ["Fit", "FitCommand", "base_of_run", "base_online", "begun", "check_same_process"]

DEFAULT_SOURCE = "simulation"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """What to learn and how.

    Arguments:
        objective: The objective, a registered name or a mapping of its ``name`` and parameters.
        model: The parametrisation, likewise.
        training: Steps, batch, learning rate and the rest.
        online: What simulates fresh trajectories while learning, likewise; the run's own trajectories are learned from
            when null.
    """

    objective: str | dict[str, Any] = dataclasses.field(
        default_factory=lambda: {"name": "local-denoising"}, metadata={NAMED: "physcore.objectives"}
    )
    model: str | dict[str, Any] = dataclasses.field(
        default_factory=lambda: {"name": "local"}, metadata={NAMED: "physcore.models"}
    )
    training: Training = dataclasses.field(default_factory=Training)
    online: str | dict[str, Any] | None = dataclasses.field(default=None, metadata={NAMED: "physcore.sources"})

    def __post_init__(self) -> None:
        for part, group in (("objective", "objectives"), ("model", "models"), ("online", "sources")):
            spec = getattr(self, part)
            if isinstance(spec, dict) and not isinstance(spec.get("name"), str):
                raise ValueError(f"`{part}` must have a `name`; known: {', '.join(names(f'physcore.{group}'))}.")


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
    if not manifest.blocks:
        default = merged(default, {"fit": {"online": manifest.simulation}})
    recorded = {stage: {k: v for k, v in request.items() if k != "seed"} for stage, request in manifest.stages.items()}
    run = {"process": manifest.process, "parameters": manifest.parameters, "seed": int(manifest.seed), "out": target}
    return merged(default, recorded) | run


def base_online(target: str) -> dict[str, Any]:
    """Return the configuration of a fit that simulates while it learns, by default as the run would be simulated.

    Arguments:
        target: Registered name of a process, or a YAML file.

    Raises:
        ValueError: If the name is unknown or the file cannot be used.
    """
    import inspect

    run = target_run(target)
    known = inspect.signature(load("physcore.sources", DEFAULT_SOURCE)).parameters
    simulated = {key: value for key, value in (run.get("simulate") or {}).items() if key in known}
    return merged({"fit": {"online": {"name": DEFAULT_SOURCE, **simulated}}}, run)


class FitCommand(Command):
    """Learn a score from the trajectories of a run, or from fresh ones."""

    summary: ClassVar[str] = "learn the score of a run's trajectories, or of fresh ones"
    target: ClassVar[str] = "A run directory; or a process or YAML file, to simulate while learning and store nothing."
    section: ClassVar[type | None] = Fit

    def base(self, target: str) -> dict[str, Any]:
        """Return the configuration of a run directory, or of a fit without one."""
        from pathlib import Path

        named = target.endswith((".yaml", ".yml")) or target in names("physcore.processes")
        return base_online(target) if named and not Path(target).is_dir() else base_of_run(target)

    def check(self, job: Job) -> None:
        """Refuse what cannot be built, noise that depends on the state, and lags that outlast the simulation."""
        from physcore.diffusivity import check_additive

        process, settings = job.process(), job.settings.sections["fit"]
        check_additive(process)
        objective = _built("objectives", settings.objective)
        objective.schedule.check(process)
        _built("models", settings.model)
        simulation = job.settings.sections.get("simulate")
        if settings.online is not None:
            _built("sources", settings.online).check(process)
        elif simulation is not None:
            from physcore.score.batches import check_room

            check_room(simulation.paths, simulation.times, objective.schedule, settings.training)

    def done(self, job: Job) -> bool:
        """Return whether the score asked for is there."""
        outputs = [job.folder.score, job.folder.history]
        return job.folder.stage_is_done("fit", self._request(job), outputs, job.settings.overwrite)

    def run(self, job: Job) -> None:
        """Fit, or continue, or find that all is there."""
        from physcore.storage.lock import locked
        from physcore.storage.manifest import Manifest

        folder, communicator, online = job.folder, job.communicator, job.settings.sections["fit"].online
        if online is None:
            Manifest.read(folder.path)
            check_same_process(job)
        else:
            self.check(job)
            if communicator.rank == 0:
                folder.claim()
            communicator.barrier()
        with locked(folder.path, communicator):
            if online is None:
                folder.verify(communicator)
            else:
                begun(job, online)
            request, done = self._request(job), self.done(job)
            communicator.barrier()
            if done:
                job.say(f"fit: done already -> {folder.score}")
                return
            of = "" if online is None else " on fresh trajectories"
            job.say(f"fit: {request['objective']}, {request['training']['steps']} steps{of} -> {folder.score}")
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
            open_run(folder.path) if settings.online is None else _built("sources", settings.online),
            objective=_built("objectives", settings.objective),
            model=_built("models", settings.model),
            training=settings.training,
            seed=self._seed(job),
            device=resolve_device(job.settings.shared.device, communicator.rank_on_host()),
            checkpoints=folder.checkpoints,
            communicator=communicator,
            stop=job.stop,
        )

    def _publish(self, job: Job, score: "ScoreModel", request: dict[str, Any]) -> None:
        import shutil

        from physcore.score.checkpoint import METRICS, SNAPSHOTS, save_score
        from physcore.storage.netcdf import write_dataset
        from physcore.storage.publishing import publish_text

        folder = job.folder
        save_score(score, folder.score)
        if score.history is not None:
            write_dataset(score.history, folder.history)
        publish_text(folder.metrics, (folder.checkpoints / METRICS).read_text(encoding="utf-8"))
        shutil.rmtree(folder.snapshots, ignore_errors=True)
        if (folder.checkpoints / SNAPSHOTS).is_dir():
            (folder.checkpoints / SNAPSHOTS).rename(folder.snapshots)
        folder.manifest.staged("fit", request).write(folder.path)
        shutil.rmtree(folder.checkpoints, ignore_errors=True)

    def _request(self, job: Job) -> dict[str, Any]:
        return dataclasses.asdict(job.settings.sections["fit"]) | {"seed": self._seed(job)}

    def _seed(self, job: Job) -> int:
        seed = job.settings.shared.seed
        return int(job.folder.manifest.seed) if seed is None else seed


def begun(job: Job, online: dict[str, Any]) -> None:
    """Make the run directory's manifest, if it has none, for a score that is learned from fresh trajectories.

    Arguments:
        job: The job; it holds the lock of the directory.
        online: What simulates them, and its parameters.

    Raises:
        ValueError: If the directory holds a run of another process.
    """
    import json

    from physcore.registry import name_of
    from physcore.storage.manifest import MANIFEST_NAME, Manifest
    from physcore.streams import random_seed

    process, path, seed = job.process(), job.folder.path, job.settings.shared.seed
    if job.communicator.rank == 0 and not (path / MANIFEST_NAME).exists():
        Manifest(
            process=name_of(type(process)) or type(process).__qualname__,
            parameters=json.loads(json.dumps(process.parameters)),
            seed=str(random_seed() if seed is None else seed),
            simulation=online,
            blocks=0,
            segments=0,
        ).write(path)
    job.communicator.barrier()
    check_same_process(job)


def check_same_process(job: Job) -> None:
    """Refuse settings that name another process, or other parameters of it, than the run directory holds.

    Arguments:
        job: The job, of a directory that is a run.

    Raises:
        ValueError: If they differ; how is told.
    """
    import json

    from physcore.storage.manifest import differences

    manifest, shared = job.folder.manifest, job.settings.shared
    if shared.process == manifest.process:
        if shared.parameters == manifest.parameters:
            return
        wanted = json.loads(json.dumps(job.process().parameters))
        changed = differences(manifest.parameters, wanted)
    else:
        changed = [f"process: {manifest.process} -> {shared.process}"]
    if changed:
        path = job.folder.path
        raise ValueError(f"{path} holds a run of another process ({'; '.join(changed)}); name another directory.")


def _built(group: str, spec: str | dict[str, Any]) -> Any:
    from physcore.registry import build

    return build(f"physcore.{group}", *name_and_parameters(spec))
