"""Scores and unfinished fits as files: tensors and plain values, never code.

Each file has its SHA-256 beside it, because neither torch's format nor the file system notices a flipped bit.
"""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from physcore.errors import DataFileError
from physcore.process import Process
from physcore.registry import build, name_of
from physcore.score.model import ScoreModel
from physcore.storage.manifest import versions
from physcore.storage.publishing import checksum, publish, publish_text
from physcore.storage.run import RunFolder

__all__ = [
    "BEST_SCORE",
    "METRICS",
    "SNAPSHOTS",
    "latest_checkpoint",
    "load_score",
    "read_tensors",
    "save_score",
    "write_tensors",
]

SCORE_FORMAT = 3
KEPT_CHECKPOINTS = 2
BEST_SCORE = "best.pt"
METRICS = "metrics.csv"
SNAPSHOTS = "snapshots"


def write_tensors(path: Path, content: Mapping[str, Any]) -> None:
    """Publish a mapping of tensors and plain values with its SHA-256 beside it.

    Arguments:
        path: Final name.
        content: Tensors, numbers, strings, and lists and dicts of them.

    Raises:
        StorageError: If writing fails; what stood under the name is unharmed.
    """
    digest = _digest_path(path)
    made: list[str] = []

    def write(temporary: Path) -> None:
        torch.save(dict(content), temporary)
        made.append(checksum(temporary))
        if digest.is_file():  # both stand there while the file is replaced: a kill in between leaves either readable
            publish_text(digest, "\n".join([digest.read_text(encoding="utf-8").strip(), *made]))

    publish(path, write)
    publish_text(digest, made[0])


def read_tensors(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read what ``write_tensors`` wrote; no code in the file is ever run.

    Arguments:
        path: The file.
        device: Where the tensors go.

    Raises:
        DataFileError: If the file is missing, damaged, or holds more than tensors and plain values.
    """
    if not path.is_file():
        raise DataFileError(f"{path}: no such file")
    digest = _digest_path(path)
    if digest.is_file() and checksum(path) not in digest.read_text(encoding="utf-8").split():
        raise DataFileError(f"{path} was damaged or changed: its checksum differs from {digest.name}")
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises many classes for a damaged file; all mean the same here
        raise DataFileError(f"{path} holds no readable score or checkpoint ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise DataFileError(f"{path} holds no score or checkpoint")
    return content


def save_score(score: ScoreModel, path: str | Path) -> None:
    """Save a score with all that is needed to call it again.

    Arguments:
        score: The score; its process should be registered, or must be given again when loading.
        path: File to write.
    """
    process = score.process
    content = {
        "format": SCORE_FORMAT,
        "model": name_of(type(score)) or type(score).__name__,
        "process": name_of(type(process)) or type(process).__qualname__,
        "parameters": json.dumps(process.parameters),
        "time_range": list(score.time_range),
        "options": json.dumps(score.options),
        "versions": versions(),
        "state": score.state_dict(),
    }
    write_tensors(Path(path), content)


def load_score(path: str | Path, process: Process | None = None, device: torch.device | str = "cpu") -> ScoreModel:
    """Load a score from a file or from the folder of a run.

    Arguments:
        path: The file that ``save_score`` wrote, or a run directory that holds one.
        process: The process, if it is not a registered one.
        device: Where the score is to be evaluated.

    Returns:
        The score, called as ``score(state, time)``.

    Raises:
        DataFileError: If there is no such file, it is damaged, or it belongs to another process.
    """
    path = Path(path)
    file = RunFolder(path).score if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        raise DataFileError(f"{file}: no such file; `physcore fit {path}` learns the score of a run")
    content = read_tensors(file, device)
    if content.get("format") != SCORE_FORMAT:
        raise DataFileError(f"{path} has score format {content.get('format')}; this package reads {SCORE_FORMAT}")
    try:
        parameters = json.loads(content["parameters"])
        if process is None:
            process = build("physcore.processes", content["process"], parameters)
        elif json.loads(json.dumps(process.parameters)) != parameters:
            raise DataFileError(f"{path} is the score of {content['process']} with {parameters}, not of {process}")
        first, last = content["time_range"]
        options = json.loads(content["options"])
        with torch.random.fork_rng(devices=[]):  # the first parameters are replaced; the caller's numbers stay his
            score: ScoreModel = build("physcore.scores", content["model"], options, process, (first, last))
        score.load_state_dict(content["state"], strict=True)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataFileError(f"{path} is no score that can be rebuilt: {error}") from error
    return score.requires_grad_(False).to(device)


def latest_checkpoint(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """Return the newest readable checkpoint of a folder, None when there was never one.

    Arguments:
        folder: The folder of ``step*.pt`` files, which may be missing.
        device: Where the tensors go.

    Raises:
        DataFileError: If there are checkpoints and none can be read.
    """
    damaged: DataFileError | None = None
    files = sorted(folder.glob("step*.pt"), reverse=True)
    for path in files:
        try:
            content = read_tensors(path, device)
        except DataFileError as error:
            damaged = error
            continue
        if damaged is not None:
            warnings.warn(f"{damaged}; continuing from the one before, {path.name}", stacklevel=2)
        return content
    if damaged is not None:
        raise DataFileError(f"no checkpoint in {folder} can be read, remove the folder to start anew: {damaged}")
    return None


def write_checkpoint(folder: Path, step: int, content: Mapping[str, Any]) -> None:
    """Publish a checkpoint and remove all but the newest few.

    Arguments:
        folder: Folder of the checkpoints, made when missing.
        step: Optimiser steps done.
        content: Tensors and plain values.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / f"step{step:09d}.pt", content)
    for path in sorted(folder.glob("step*.pt"))[:-KEPT_CHECKPOINTS]:
        path.unlink(missing_ok=True)
        _digest_path(path).unlink(missing_ok=True)


def _digest_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
