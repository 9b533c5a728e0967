"""The command ``compare``."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from analysis.comparison import Comparison, nearest_saved
from physcore.command import Command, Job
from physcore.score.command import base_of_run, check_same_process

if TYPE_CHECKING:
    import xarray as xr

    from analysis.quantities.quantity import Quantity
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
        """Refuse references and quantities that the process has not, and times that the simulation will not save."""
        from analysis.compare import check_reversed

        settings: Comparison = job.settings.sections["compare"]
        process = job.process()
        built = self._built(settings, process)
        quantities = self._quantities(settings, process, built, _components(job, process))
        check_stops(quantities, settings)
        check_reversed(settings.reversal, built)
        simulation = job.settings.sections.get("simulate")
        if simulation is not None:
            check_pool(built, settings, simulation.paths)
            used = min(settings.paths, simulation.paths)
            if settings.blocks > used:
                raise ValueError(f"`compare.blocks` must be between 2 and the {used} paths; got {settings.blocks}.")
            for time in (*(settings.times or []), *(settings.reversal.times or [])):
                nearest_saved(simulation.times, time)

    def done(self, job: Job) -> bool:
        """Return whether the comparison asked for is there."""
        outputs = [job.folder.comparison, job.folder.figures]
        return job.folder.stage_is_done("compare", self._request(job), outputs, job.settings.overwrite)

    def run(self, job: Job) -> None:
        """Compare, or find that all is there; print the table."""
        from analysis.table import error_table, quantity_tables
        from physcore.storage.lock import locked
        from physcore.storage.netcdf import read_tree

        folder, communicator = job.folder, job.communicator
        check_same_process(job)
        with locked(folder.path, communicator):
            folder.verify(communicator)
            done = self.done(job)
            communicator.barrier()
            if done:
                job.say(f"compare: done already -> {folder.comparison}")
                comparison = read_tree(folder.comparison)
            else:
                comparison = self._compare(job)
        errors = comparison.to_dataset()
        times = _times(job, errors["time"].values[errors["trained"].values == 1])
        job.say("")
        job.say(error_table(errors, times))
        for table in quantity_tables(comparison, times):
            job.say("")
            job.say(table)

    def _request(self, job: Job) -> dict[str, Any]:
        return dataclasses.asdict(job.settings.sections["compare"])

    def _compare(self, job: Job) -> "xr.DataTree":
        import xarray as xr

        from analysis.compare import evaluate
        from analysis.plots.training_errors import TRAINING_ERRORS, training_errors
        from physcore.device import resolve_device
        from physcore.score.checkpoint import load_score
        from physcore.storage.netcdf import write_tree
        from physcore.storage.run import open_run

        folder, communicator = job.folder, job.communicator
        settings: Comparison = job.settings.sections["compare"]
        score = load_score(folder.path, device=resolve_device(job.settings.shared.device, communicator.rank_on_host()))
        trajectories = open_run(folder.path)
        first = max(0, trajectories.sizes["path"] - settings.paths)
        job.say(f"compare: {trajectories.sizes['path'] - first} paths a frame -> {folder.comparison}")
        times = [float(t) for t in trajectories["time"].values if score.trained_at(float(t))]
        references = self._references(job, score.process, times, trajectories.isel(path=slice(first)))
        comparison = evaluate(
            score,
            references,
            trajectories.isel(path=slice(first, None)),
            self._quantities(settings, score.process, references, score.components),
            times=sorted({*times, *(settings.times or [])}),
            shown=_times(job, times),
            blocks=settings.blocks,
            reversal=settings.reversal,
            start=trajectories.isel(path=slice(first)) if first >= settings.reversal.paths else None,
            seed=int(folder.manifest.seed),
            communicator=communicator,
        )
        fallen = training_errors(
            folder,
            references,
            trajectories.isel(path=slice(first, None)),
            _times(job, times),
            device=next(score.parameters()).device,
            communicator=communicator,
        )
        if fallen is not None:
            comparison[TRAINING_ERRORS] = xr.DataTree(fallen.reindex(time=comparison["time"].values))
        if communicator.rank == 0:
            write_tree(comparison, folder.comparison)
        self._draw(job, score, references, comparison, _times(job, times))
        if communicator.rank == 0:
            folder.manifest.staged("compare", self._request(job)).write(folder.path)
        communicator.barrier()
        return comparison

    def _references(
        self, job: Job, process: "Process", times: Sequence[float], pool: "xr.Dataset"
    ) -> "dict[str, Reference]":
        """Build the references and let them do their work, which the ranks share."""
        settings: Comparison = job.settings.sections["compare"]
        check_pool(self._built(settings, process), settings, settings.paths + pool.sizes["path"])
        built = self._built(settings, process, pool)
        for name, reference in built.items():
            file = job.folder.references / f"{name}.nc"
            if job.communicator.rank == 0:
                file.parent.mkdir(exist_ok=True)
            reference.prepare_from(file, times, job.communicator)
        return built

    def _built(
        self, settings: Comparison, process: "Process", pool: "xr.Dataset | None" = None
    ) -> "dict[str, Reference]":
        """Build the references, those that learn from samples with the paths of a pool."""
        from analysis.references.sampled import SampledReference
        from physcore.registry import build, load
        from physcore.solvable import SolvableProcess

        named = settings.named_references
        if named is None:
            named = [("exact" if isinstance(process, SolvableProcess) else "fokker-planck", {})]
        references: dict[str, Reference] = {}
        for name, parameters in named:
            kind = load("physcore.references", name)
            sampled = isinstance(kind, type) and issubclass(kind, SampledReference)
            leading = (process, pool) if sampled else (process,)
            references[name] = build("physcore.references", name, parameters, *leading)
        return references

    def _quantities(
        self, settings: Comparison, process: "Process", references: "dict[str, Reference]", components: Sequence[int]
    ) -> "dict[str, Quantity]":
        """Build the quantities that are named, checked; else those that are told unasked and that can be had."""
        from analysis.compare import check_quantities
        from physcore.registry import build, names

        if settings.named_quantities is not None:
            asked = {name: build("physcore.quantities", name, options) for name, options in settings.named_quantities}
            check_quantities(asked, process, references, components)
            return asked
        every = {name: build("physcore.quantities", name, {}) for name in names("physcore.quantities")}
        return {name: quantity for name, quantity in every.items() if quantity.unasked(process, references, components)}

    def _draw(
        self,
        job: Job,
        score: "ScoreModel",
        references: "dict[str, Reference]",
        comparison: "xr.DataTree",
        times: list[float],
    ) -> None:
        from analysis.plots import draw_run

        draw_run(job.folder, score, references, comparison, times, job.communicator)


def check_stops(quantities: "dict[str, Quantity]", settings: Comparison) -> None:
    """Refuse a reversal that has nowhere to stop.

    Arguments:
        quantities: Quantities by name.
        settings: Settings of the comparison.

    Raises:
        ValueError: If a quantity asks for a reversal and but one time is given.
    """
    stops = settings.reversal.times or settings.times
    asking = [name for name, quantity in quantities.items() if quantity.needs_reversal]
    if asking and stops is not None and len(set(stops)) < 2:
        raise ValueError(
            f"{asking[0]} needs two `times` or `reversal.times` at least, to run backwards from the last; got {stops}."
        )


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


def _components(job: Job, process: "Process") -> Sequence[int]:
    """Return the components that a score will hold, of a run that is still to be fitted; all where it is not said."""
    from physcore.registry import name_and_parameters

    fit = job.settings.sections.get("fit")
    driven = fit is not None and name_and_parameters(fit.model)[1].get("components") == "driven"
    return process.driven if driven else range(process.dimension)


def _times(job: Job, available: Sequence[float]) -> list[float]:
    """Return the times of the tables: those asked for, else three spread over the compared ones."""
    asked: list[float] | None = job.settings.sections["compare"].times
    if asked:
        return sorted(asked)
    return [float(available[round(fraction * (len(available) - 1))]) for fraction in (0.2, 0.6, 1.0)]
