"""The command ``compare``."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from analysis.comparison import Comparison, nearest_saved
from physcore.command import Command, Job
from physcore.score.command import base_of_run

if TYPE_CHECKING:
    import xarray as xr

    from analysis.references.reference import Reference
    from physcore.process import Process
    from physcore.score.model import ScoreModel

__all__ = ["CompareCommand"]


class CompareCommand(Command):
    """Compare the learned score of a run with references, and draw the figures."""

    summary: ClassVar[str] = "compare a run's learned score with references and draw the figures"
    target: ClassVar[str] = "A run directory."
    section: ClassVar[type | None] = Comparison

    def base(self, target: str) -> dict[str, Any]:
        """Return the configuration of a run directory."""
        return base_of_run(target)

    def check(self, job: Job) -> None:
        """Refuse a reference that the process has not, and times that the simulation of the same run will not save."""
        settings: Comparison = job.settings.sections["compare"]
        built = self._built(settings, job.process())
        simulation = job.settings.sections.get("simulate")
        if simulation is not None:
            check_pool(built, settings, simulation.paths)
            for time in settings.times or []:
                nearest_saved(simulation.times, time)

    def done(self, job: Job) -> bool:
        """Return whether the comparison asked for is there."""
        outputs = [job.folder.comparison, job.folder.figures]
        return job.folder.stage_is_done("compare", self._request(job), outputs, job.settings.overwrite)

    def run(self, job: Job) -> None:
        """Compare, or find that all is there; print the table."""
        from analysis.table import error_table
        from physcore.storage.lock import locked
        from physcore.storage.netcdf import read_dataset

        folder, communicator = job.folder, job.communicator
        with locked(folder.path, communicator):
            folder.verify(communicator)
            done = self.done(job)
            communicator.barrier()
            if done:
                job.say(f"compare: done already -> {folder.comparison}")
                comparison = read_dataset(folder.comparison)
            else:
                comparison = self._compare(job)
        job.say("")
        job.say(error_table(comparison, _times(job, comparison)))

    def _request(self, job: Job) -> dict[str, Any]:
        return dataclasses.asdict(job.settings.sections["compare"])

    def _compare(self, job: Job) -> "xr.Dataset":
        from analysis.compare import compare
        from physcore.device import resolve_device
        from physcore.score.checkpoint import load_score
        from physcore.storage.netcdf import write_dataset
        from physcore.storage.run import open_run

        folder, communicator = job.folder, job.communicator
        settings: Comparison = job.settings.sections["compare"]
        score = load_score(folder.path, device=resolve_device(job.settings.shared.device, communicator.rank_on_host()))
        trajectories = open_run(folder.path)
        first = max(0, trajectories.sizes["path"] - settings.paths)
        job.say(f"compare: {trajectories.sizes['path'] - first} paths a frame -> {folder.comparison}")
        times = [float(t) for t in trajectories["time"].values if score.trained_at(float(t))]
        references = self._references(job, score.process, times, trajectories.isel(path=slice(first)))
        comparison = compare(
            score,
            references,
            trajectories.isel(path=slice(first, None)),
            times=sorted({*times, *(settings.times or [])}),
            blocks=settings.blocks,
            communicator=communicator,
        )
        if communicator.rank == 0:
            write_dataset(comparison, folder.comparison)
            self._draw(job, score, references, comparison)
            folder.manifest.staged("compare", self._request(job)).write(folder.path)
        communicator.barrier()
        return comparison

    def _references(
        self, job: Job, process: "Process", times: Sequence[float], pool: "xr.Dataset"
    ) -> "dict[str, Reference]":
        """Build the references; what one of them computes is computed on rank 0 and read by the others."""
        settings: Comparison = job.settings.sections["compare"]
        check_pool(self._built(settings, process), settings, settings.paths + pool.sizes["path"])
        built = self._built(settings, process, pool)
        for name, reference in built.items():
            file = job.folder.references / f"{name}.nc"
            if job.communicator.rank == 0:
                file.parent.mkdir(exist_ok=True)
                reference.prepare_from(file, times)
            job.communicator.barrier()
            if job.communicator.rank > 0:
                reference.prepare_from(file, times)
        return built

    def _built(
        self, settings: Comparison, process: "Process", pool: "xr.Dataset | None" = None
    ) -> "dict[str, Reference]":
        """Build the references, those that learn from samples with the paths of a pool."""
        from analysis.references.sampled import SampledReference
        from physcore.registry import build, load
        from physcore.solvable import SolvableProcess

        specs = settings.references
        if specs is None:
            specs = [{"name": "exact" if isinstance(process, SolvableProcess) else "fokker-planck"}]
        references: dict[str, Reference] = {}
        for spec in specs:
            name, parameters = spec["name"], {key: value for key, value in spec.items() if key != "name"}
            kind = load("physcore.references", name)
            sampled = isinstance(kind, type) and issubclass(kind, SampledReference)
            leading = (process, pool) if sampled else (process,)
            references[name] = build("physcore.references", name, parameters, *leading)
        return references

    def _draw(
        self, job: Job, score: "ScoreModel", references: "dict[str, Reference]", comparison: "xr.Dataset"
    ) -> None:
        from analysis.plots import draw_run

        draw_run(job.folder, score, references, comparison, _times(job, comparison))


def check_pool(references: "dict[str, Reference]", settings: Comparison, paths: int) -> None:
    """Refuse a comparison that leaves no paths to those references that learn from samples.

    Arguments:
        references: References by name.
        settings: Settings of the comparison.
        paths: Number of simulated paths.

    Raises:
        ValueError: If fewer than two are left, or than a reference asks for.
    """
    from analysis.references.sampled import SampledReference

    left = max(0, paths - settings.paths)
    for name, reference in references.items():
        if isinstance(reference, SampledReference) and left < (reference.paths or 2):
            raise ValueError(
                f"`paths` must leave paths of their own for {name} to learn from, {reference.paths or 'two'} or more; "
                f"got {settings.paths} of {paths}. Compare on fewer or simulate more."
            )


def _times(job: Job, comparison: "xr.Dataset") -> list[float]:
    """Return the times of the table: those asked for, else three spread over the compared ones."""
    asked: list[float] | None = job.settings.sections["compare"].times
    if asked:
        return sorted(asked)
    available = comparison["time"].values
    return [float(available[round(fraction * (len(available) - 1))]) for fraction in (0.2, 0.6, 1.0)]
