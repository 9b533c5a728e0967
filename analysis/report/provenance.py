"""Where a run comes from: what was done when and by which version, and the checksums of its files."""

import dataclasses

from analysis.report.tables import Table
from physcore.storage.manifest import Manifest
from physcore.storage.publishing import checksum
from physcore.storage.run import RunFolder

__all__ = ["Provenance", "provenance_of", "written_time"]

MOST_FILES = 400


@dataclasses.dataclass(frozen=True)
class Provenance:
    """The tables of a run's provenance.

    Arguments:
        history: What was done, and when.
        versions: Versions of the packages at its beginning.
        files: Its files with their checksums.
    """

    history: Table
    versions: Table
    files: Table


def provenance_of(folder: RunFolder, manifest: Manifest, results: bool) -> Provenance:
    """Return the provenance of a run; nothing of it depends on where the run lies.

    Arguments:
        folder: The run directory.
        manifest: Its manifest.
        results: Whether what the comparison left belongs to the run as it stands.
    """
    entries = [(manifest.created_at, "begun"), *_entries(manifest)]
    learned = [folder.score, folder.history, folder.metrics] if "fit" in manifest.stages else []
    compared = [path for path in sorted(folder.path.glob("*.nc")) if path != folder.history] if results else []
    kept = [path for path in (*learned, *compared) if path.is_file()]
    sums = {path.name: checksum(path) for path in kept}
    segments = {f"{folder.trajectories.name}/{name}": digest for name, digest in manifest.checksums.items()}
    listed = [*sums.items(), *segments.items()]
    left = len(listed) - MOST_FILES
    return Provenance(
        history=Table(caption="History", columns=("when", "what"), rows=[(written_time(a), (b,)) for a, b in entries]),
        versions=Table(
            caption="Versions when the run began",
            columns=("package", "version"),
            rows=[(name, (version,)) for name, version in manifest.versions.items()],
        ),
        files=Table(
            caption="SHA-256 of the files; those of the trajectories as they were recorded",
            columns=("file", "SHA-256"),
            rows=[(name, (digest,)) for name, digest in listed[:MOST_FILES]],
            note=f"{left} more in the manifest." if left > 0 else "",
        ),
    )


def written_time(moment: str) -> str:
    """Return a moment of ISO 8601 as people write it.

    Arguments:
        moment: The moment, in UTC.
    """
    return moment.replace("T", " ").replace("+00:00", " UTC")


def _entries(manifest: Manifest) -> list[tuple[str, str]]:
    """Return the moment and the rest of each line of the history."""
    lines = (line.partition(" ") for line in manifest.history)
    return [(when, what) for when, _, what in lines]
