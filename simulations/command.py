"""The command ``simulate``."""

import dataclasses
from typing import Any, ClassVar

from physcore.command import Command, Job
from physcore.configuration import target_run
from simulations.simulation import Simulation

__all__ = ["SimulateCommand"]


class SimulateCommand(Command):
    """Simulate paths of a process into a run directory."""

    summary: ClassVar[str] = "simulate paths of a process into a run directory"
    target: ClassVar[str] = "Name of a process, or a YAML file."
    section: ClassVar[type | None] = Simulation

    def base(self, target: str) -> dict[str, Any]:
        """Return the default run of a process, or what a file makes of it."""
        return target_run(target)

    def check(self, job: Job) -> None:
        """Refuse a process, a scheme or a device that is not there, and a scheme that is not made for the process."""
        from physcore.device import resolve_device
        from physcore.registry import build

        simulation = job.settings.sections["simulate"]
        build("physcore.schemes", simulation.scheme, {}).check(job.process(), simulation.dt)
        resolve_device(job.settings.shared.device, job.communicator.rank_on_host())

    def done(self, job: Job) -> bool:
        """Return whether the simulation asked for is there, every segment of it."""
        from physcore.storage.manifest import MANIFEST_NAME
        from simulations.recording import requested, same_run

        if not (job.folder.path / MANIFEST_NAME).exists():
            return False
        process, seed = job.process(), self._seed(job)
        simulation = job.settings.sections["simulate"].sized(process.dimension)
        return same_run(job.folder, requested(process, simulation, 0 if seed is None else seed)).complete

    def run(self, job: Job) -> None:
        """Simulate, or continue, or find that all is there."""
        from physcore.device import resolve_device
        from physcore.storage.manifest import MANIFEST_NAME
        from simulations.simulate import simulate

        process, simulation = job.process(), job.settings.sections["simulate"]
        with job.replacing() as fresh:
            done = (fresh.folder.path / MANIFEST_NAME).exists() and fresh.folder.manifest.complete
            if not done:
                size = f"{simulation.paths} paths, {simulation.frames} frames"
                job.say(f"simulate: {process}, {size} -> {job.folder.path}")
            simulate(
                process,
                **dataclasses.asdict(simulation),
                seed=self._seed(fresh),
                out=fresh.folder.path,
                device=resolve_device(job.settings.shared.device, job.communicator.rank_on_host()),
                communicator=job.communicator,
                stop=job.stop,
            )
            if done:
                job.say(f"simulate: done already -> {job.folder.path}")

    def _seed(self, job: Job) -> int | None:
        """Return the seed asked for, else that of the run to be continued, else None."""
        from physcore.storage.manifest import MANIFEST_NAME

        if job.settings.shared.seed is None and (job.folder.path / MANIFEST_NAME).exists():
            return int(job.folder.manifest.seed)
        return job.settings.shared.seed
