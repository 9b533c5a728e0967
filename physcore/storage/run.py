"""A run directory: trajectories in segments, their manifest, and what later stages add.

RUN/manifest.json                               what was asked for, checksums of the segments
RUN/trajectories/block00000-segment0000.nc      one block of paths over one stretch of time
RUN/score.pt, snapshots/, history.nc, metrics.csv, comparison.nc, figures/, report.html

A run whose score is learned from fresh trajectories may hold none.
"""

import contextlib
import dataclasses
import functools
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from physcore.communicator import Communicator, SerialCommunicator
from physcore.errors import DataFileError
from physcore.storage.joining import joined
from physcore.storage.lock import locked
from physcore.storage.manifest import MANIFEST_NAME, Manifest, differences
from physcore.storage.netcdf import dataset_aside, read_dataset
from physcore.storage.publishing import checksum, publish, put_in_place

__all__ = ["RunFolder", "open_run"]


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Names and files of a run directory.

    Arguments:
        path: The directory.
    """

    path: Path

    @property
    def manifest(self) -> Manifest:
        """The manifest, read anew."""
        return Manifest.read(self.path)

    @property
    def trajectories(self) -> Path:
        """The folder of the segments."""
        return self.path / "trajectories"

    @property
    def score(self) -> Path:
        """The learned score."""
        return self.path / "score.pt"

    @property
    def checkpoints(self) -> Path:
        """The folder of the states of an unfinished fit."""
        return self.path / "checkpoints"

    @property
    def snapshots(self) -> Path:
        """The folder of the scores that were kept while fitting."""
        return self.path / "snapshots"

    @property
    def history(self) -> Path:
        """The loss history of the fit."""
        return self.path / "history.nc"

    @property
    def metrics(self) -> Path:
        """The same as comma-separated values."""
        return self.path / "metrics.csv"

    @property
    def references(self) -> Path:
        """The folder of the computed references."""
        return self.path / "references"

    @property
    def comparison(self) -> Path:
        """The comparison of the learned score with the references."""
        return self.path / "comparison.nc"

    @property
    def figures(self) -> Path:
        """The folder of the figures."""
        return self.path / "figures"

    def claim(self) -> None:
        """Make the directory.

        Raises:
            NotADirectoryError: If a file has its name.
            ValueError: If it holds something else than a run.
        """
        path = self.path
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(20, f"`out` = {path} is a file; name a directory")
        if path.is_dir() and not (path / MANIFEST_NAME).exists():
            others = [item for item in path.iterdir() if item.name != "trajectories" and item.name[0] != "."]
            if others:
                raise ValueError(f"`out` = {path} holds other files and no run; name a new or empty directory.")
        path.mkdir(parents=True, exist_ok=True)

    def branch(self, other: "RunFolder", stage: str) -> None:
        """Begin as another run, up to a stage that is to be done otherwise.

        Published files never change, so they are shared by hard links, and copied where the file system has none.

        Arguments:
            other: The run to begin as.
            stage: Name of the first stage that is not taken over.

        Raises:
            OSError: If the directory is there already and holds something.
        """
        manifest, aside = other.manifest, self.path.with_name(f".{self.path.name}.begun")
        shutil.rmtree(aside, ignore_errors=True)
        (aside / "trajectories").mkdir(parents=True)
        for path in (*other.trajectories.glob("*.nc"), *other.path.glob("score.pt*"), other.history, other.metrics):
            if path.is_file():
                copy = aside / path.relative_to(other.path)
                try:
                    os.link(path, copy)
                except OSError:
                    publish(copy, functools.partial(shutil.copyfile, path))
        stages = {name: request for name, request in manifest.stages.items() if name != stage}
        dataclasses.replace(manifest, stages=stages).noted(f"begun as {other.path.name}").write(aside)
        aside.rename(self.path)

    def segment(self, block: int, segment: int) -> Path:
        """Return the file of one block of paths over one stretch of time."""
        return self.trajectories / f"block{block:05d}-segment{segment:04d}.nc"

    def write_segment(self, block: int, segment: int, dataset: xr.Dataset) -> tuple[str, Callable[[], None]]:
        """Write one segment aside, paths along the last axis as they are computed.

        Returns:
            Its SHA-256, and what publishes it, which waits for the disk and hardly computes.
        """
        path = self.segment(block, segment)
        aside = dataset_aside(dataset.transpose("particle", "time", "path", missing_dims="ignore"), path)
        return checksum(aside), functools.partial(put_in_place, aside, path)

    def read_segment(self, block: int, segment: int) -> xr.Dataset:
        """Read one segment whole."""
        return read_dataset(self.segment(block, segment))

    def checksums(
        self, blocks: int, segments: int, communicator: Communicator, known: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Return the SHA-256 of every segment, the work shared between the ranks, the result on all.

        Arguments:
            blocks: Number of blocks.
            segments: Number of segments of each.
            communicator: The ranks.
            known: What some rank knows already, by file name.

        Raises:
            DataFileError: If a segment is missing.
        """
        together = {name: digest for part in communicator.gather(dict(known or {})) for name, digest in part.items()}
        mine: dict[str, str] = {}
        for index in communicator.share(blocks * segments):
            path = self.segment(*divmod(index, segments))
            if not path.is_file():
                raise DataFileError(f"segment {path} is missing")
            if path.name not in together:
                mine[path.name] = checksum(path)
        for part in communicator.gather(mine):
            together |= part
        return dict(sorted(together.items()))

    def verify(self, communicator: Communicator | None = None) -> None:
        """Check every segment against the manifest.

        Raises:
            DataFileError: If the run is unfinished, or a segment is missing or was changed; it is named.
        """
        manifest = self.manifest
        if not manifest.complete:
            raise DataFileError(f"the simulation in {self.path} is not finished; run `physcore simulate` again")
        found = self.checksums(manifest.blocks, manifest.segments, communicator or SerialCommunicator())
        for name, digest in manifest.checksums.items():
            if found.get(name) != digest:
                raise DataFileError(f"segment {self.trajectories / name} was changed after the run: checksums differ")

    def stage_is_done(
        self, stage: str, request: Mapping[str, Any], outputs: Sequence[Path], overwrite: bool = False
    ) -> bool:
        """Return whether a stage was done as requested and its outputs are there.

        Arguments:
            stage: Name of the stage.
            request: What it was asked for, plain values.
            outputs: Its files.
            overwrite: Whether a result of another request may be replaced.

        Raises:
            ValueError: If it was done with another request and may not be replaced; the differences are named.
        """
        recorded = self.manifest.stages.get(stage)
        if recorded is None:
            return False
        changed = differences(recorded, json.loads(json.dumps(request)))
        if changed and not overwrite:
            raise ValueError(
                f"{self.path} holds a {stage} with other settings ({'; '.join(changed)}); use --overwrite to replace "
                "it, or another directory."
            )
        return not overwrite and all(path.exists() for path in outputs)


@contextlib.contextmanager
def replacing(folder: RunFolder, communicator: Communicator) -> Iterator[RunFolder]:
    """Make a run beside an old one and put it in its place when it is whole.

    Arguments:
        folder: The run directory to replace, which may be missing.
        communicator: The ranks of this job.

    Yields:
        The directory to work in. If the work does not end well the old run stays as it was, and the next attempt
        continues the new one.
    """
    path = folder.path.resolve()
    beside, old = (path.with_name(f".{path.name}.{what}") for what in ("new", "old"))
    if communicator.rank == 0 and old.exists() and not path.exists():
        old.rename(path)  # a kill came between the two renames below
    communicator.barrier()
    if not (path / MANIFEST_NAME).is_file():  # no run of ours: nothing that could be replaced, and nothing is removed
        yield folder
        return
    with locked(path, communicator):
        try:
            yield RunFolder(beside)
        except (ValueError, TypeError, ArithmeticError):  # settings that cannot work are not to be continued
            if communicator.rank == 0:
                shutil.rmtree(beside, ignore_errors=True)
            raise
        communicator.barrier()
        if communicator.rank == 0:
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
            beside.rename(path)
            shutil.rmtree(old)
        communicator.barrier()


def open_run(path: str | Path) -> xr.Dataset:
    """Open the trajectories of a run lazily.

    Arguments:
        path: A run directory that ``simulate`` made.

    Returns:
        One Dataset over all blocks and segments; data are read when they are asked for, and what is wrong with a file
        that is read then is a ``DataFileError`` too.

    Raises:
        DataFileError: If it is no run, unfinished, or its files cannot be read.
    """
    folder = RunFolder(Path(path))
    manifest = folder.manifest
    if not manifest.complete:
        raise DataFileError(f"the simulation in {path} is not finished; run `physcore simulate` again")
    if not manifest.blocks:
        raise DataFileError(f"{path} stores no trajectories; its score is learned from fresh ones")
    for block, segment in itertools.product(range(manifest.blocks), range(manifest.segments)):
        if not folder.segment(block, segment).is_file():
            raise DataFileError(f"segment {folder.segment(block, segment)} is missing")
    dataset = joined(folder.segment, _edges_of_blocks(folder, manifest), manifest.segments)
    return dataset.assign_attrs(created_at=manifest.created_at, history="\n".join(manifest.history))


def _edges_of_blocks(folder: RunFolder, manifest: Manifest) -> list[int]:
    """Return the index of the first path of every block, and the number of paths."""
    paths, size = (manifest.simulation.get(name) for name in ("paths", "paths_per_block"))
    if not (isinstance(paths, int) and isinstance(size, int) and size > 0 and -(-paths // size) == manifest.blocks):
        where = folder.path / MANIFEST_NAME
        raise DataFileError(f"{where} is damaged: {paths} paths, {size} in a block, {manifest.blocks} blocks")
    return [*range(0, paths, size), paths]
