"""The manifest of a run: what was asked for, what was published, and by which versions."""

import dataclasses
import datetime
import functools
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from physcore.errors import DataFileError
from physcore.plain_values import typed
from physcore.storage.publishing import publish_text
from physcore.storage.revision import revision

__all__ = ["FORMAT_VERSION", "MANIFEST_NAME", "Manifest", "differences", "versions"]

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
VERSIONED = ("physcore", "torch", "numpy", "xarray", "netCDF4")


def versions() -> dict[str, str]:
    """Return the versions of the package, of what its numbers depend on, and of Python."""
    return {name: _version(name) for name in VERSIONED} | {"python": platform.python_version()}


@functools.cache
def _version(name: str) -> str:
    return importlib.metadata.version(name)


def now() -> str:
    """Return the present moment in UTC as ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return one line for each value that differs, ``key: old -> new``, by ``outer.inner`` of mappings in mappings."""
    lines = []
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += [f"{key}.{line}" for line in differences(before, after)]
        elif before != after:
            lines.append(f"{key}: {before} -> {after}")
    return lines


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a run directory holds.

    Arguments:
        process: Registered name of the process, or its class's name.
        parameters: Parameters of the process.
        seed: Seed as a decimal string; JSON numbers are not exact above 2^53.
        simulation: Settings of the simulation, of the fresh ones where none is stored.
        blocks: Number of stored blocks of paths.
        segments: Number of time segments of each block.
        checksums: SHA-256 of every segment by file name; empty until the simulation is complete.
        stages: What each later stage that is done was asked for, by its name.
        created_at: When the run began.
        history: One line for each thing done to the run.
        versions: Versions of the packages that made it.
        format_version: Version of this layout.
    """

    process: str
    parameters: dict[str, Any]
    seed: str
    simulation: dict[str, Any]
    blocks: int
    segments: int
    checksums: dict[str, str] = dataclasses.field(default_factory=dict)
    stages: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    created_at: str = dataclasses.field(default_factory=now)
    history: list[str] = dataclasses.field(default_factory=list)
    versions: dict[str, str] = dataclasses.field(default_factory=versions)
    format_version: int = FORMAT_VERSION

    @property
    def complete(self) -> bool:
        """Whether every segment is published."""
        return len(self.checksums) == self.blocks * self.segments

    @property
    def identity(self) -> dict[str, Any]:
        """What fixes every bit of the trajectories: process, parameters, seed and settings, flat."""
        return {"process": self.process, **self.parameters, "seed": self.seed, **self.simulation}

    def _checked(self) -> "Manifest":
        for field in dataclasses.fields(self):
            typed(field.name, getattr(self, field.name), field.type)
        if not self.seed.isdecimal() or min(self.blocks, self.segments) < 0:
            raise ValueError(f"seed {self.seed!r}, {self.blocks} blocks, {self.segments} segments")
        return self

    def completed(self, checksums: Mapping[str, str]) -> "Manifest":
        """Return the manifest of the finished simulation."""
        return dataclasses.replace(self, checksums=dict(checksums)).noted("simulate")

    def staged(self, stage: str, request: Mapping[str, Any]) -> "Manifest":
        """Return the manifest with a stage done; stages recorded after it rest on its result and are forgotten."""
        kept: dict[str, dict[str, Any]] = {}
        for name, recorded in self.stages.items():
            if name == stage:
                break
            kept[name] = recorded
        return dataclasses.replace(self, stages={**kept, stage: dict(request)}).noted(stage)

    def noted(self, line: str) -> "Manifest":
        """Return the manifest with a line added to its history: when, what, and by which version of the package."""
        commit = f" ({revision()})" if revision() else ""
        entry = f"{now()} {line}, physcore {_version('physcore')}{commit}"
        return dataclasses.replace(self, history=[*self.history, entry])

    def write(self, folder: Path) -> None:
        """Publish the manifest in its run directory."""
        publish_text(folder / MANIFEST_NAME, json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False))

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read the manifest of a run directory.

        Raises:
            DataFileError: If there is none, or it is damaged or of a newer format.
        """
        path = folder / MANIFEST_NAME
        if not path.is_file():
            usual = Path("runs") / folder.name
            near = f"; did you mean {usual}?" if (usual / MANIFEST_NAME).is_file() and usual != folder else ""
            lacks = f"it has no {MANIFEST_NAME}" if folder.is_dir() else "there is no such directory"
            raise DataFileError(f"{folder} is no run: {lacks}{near}")
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            version = fields["format_version"]
            if version == FORMAT_VERSION:
                return cls(**fields)._checked()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataFileError(f"{path} is damaged: {error}") from error
        raise DataFileError(
            f"{path} has format version {version}; this package reads {FORMAT_VERSION}. Use the package that wrote it."
        )
