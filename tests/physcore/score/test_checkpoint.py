"""Scores and checkpoints as files: damage is noticed, code is never run, the newest whole one is used."""

import json
import os
from pathlib import Path

import pytest
import torch

from physcore import load_score, save_score
from physcore.errors import DataFileError, StorageError
from physcore.score import MLP, LocalScore
from physcore.score.checkpoint import latest_checkpoint, read_tensors, write_checkpoint, write_tensors
from simulations import DoubleWell

CPU = torch.device("cpu")
DAMAGE = ["half", "byte", "empty", "garbage", "bit"]


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    match how:
        case "half":
            path.write_bytes(content[: len(content) // 2])
        case "byte":
            path.write_bytes(content[:-1])
        case "empty":
            path.write_bytes(b"")
        case "garbage":
            path.write_bytes(os.urandom(len(content)))
        case "bit":
            content[len(content) // 2] ^= 1
            path.write_bytes(content)


@pytest.fixture
def score() -> LocalScore:
    with torch.random.fork_rng(devices=[]):
        return LocalScore(
            DoubleWell(),
            (0.1, 1.0),
            window=0.3,
            start=0.0,
            center=[0.0],
            scale=[1.0],
            drift_scale=[1.0],
            network=MLP(width=8),
        )


def test_tensors_survive(tmp_path: Path) -> None:
    content = {"a": torch.arange(5.0), "b": {"c": [1, 2.5, "x", None]}}
    write_tensors(tmp_path / "t.pt", content)
    read = read_tensors(tmp_path / "t.pt")
    assert torch.equal(read["a"], content["a"])
    assert read["b"] == content["b"]


@pytest.mark.parametrize("how", DAMAGE)
def test_a5_a_damaged_newest_checkpoint_falls_back_to_the_one_before_with_a_warning(tmp_path: Path, how: str) -> None:
    for step in (10, 20):
        write_checkpoint(tmp_path, step, {"step": step})
    damage(tmp_path / "step000000020.pt", how)
    with pytest.warns(UserWarning, match=r"step000000020\.pt.*step000000010\.pt"):
        content = latest_checkpoint(tmp_path, CPU)
    assert content is not None
    assert content["step"] == 10


@pytest.mark.parametrize("how", DAMAGE)
def test_a5_damage_is_noticed_even_when_the_checksum_is_gone_or_all_are_damaged(tmp_path: Path, how: str) -> None:
    for step in (10, 20):
        write_checkpoint(tmp_path, step, {"step": step})
        damage(tmp_path / f"step{step:09d}.pt", how)
    with pytest.raises(DataFileError, match="no checkpoint"):
        latest_checkpoint(tmp_path, CPU)


def test_no_checkpoint_at_all_is_a_fresh_start(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "missing", CPU) is None


def test_only_the_newest_checkpoints_are_kept_each_with_its_checksum(tmp_path: Path) -> None:
    for step in (10, 20, 30, 40):
        write_checkpoint(tmp_path, step, {"step": step})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"step0000000{n}.pt{end}" for n in (30, 40) for end in ("", ".sha256")]
    assert latest_checkpoint(tmp_path, CPU) == {"step": 40}


@pytest.mark.parametrize("broken", ["fsync", "replace", "save"])
def test_a4_b11_a_failing_write_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    write_tensors(tmp_path / "t.pt", {"step": 1})

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(torch if broken == "save" else os, broken, fail)
        with pytest.raises(StorageError, match=r"t\.pt"):
            write_tensors(tmp_path / "t.pt", {"step": 2})
    assert read_tensors(tmp_path / "t.pt") == {"step": 1}
    assert {path.name for path in tmp_path.iterdir()} == {"t.pt", "t.pt.sha256"}


def test_a4_a_kill_between_a_file_and_its_checksum_keeps_a_readable_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is replaced in place, so the old checksum stands beside the new content for a moment."""
    write_checkpoint(tmp_path, 10, {"step": 10})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("physcore.score.checkpoint.publish_text", killed)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(tmp_path, 20, {"step": 20})
    content = latest_checkpoint(tmp_path, CPU)
    assert content is not None
    assert content["step"] in (10, 20)


def test_a4_a_kill_while_a_score_is_saved_again_leaves_a_readable_score(
    score: LocalScore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "score.pt"
    save_score(score, path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with torch.no_grad():
        next(score.parameters()).add_(1.0)
    with monkeypatch.context() as patch:
        patch.setattr("physcore.score.checkpoint.publish_text", killed)
        with pytest.raises(KeyboardInterrupt):
            save_score(score, path)
    load_score(path)


class Payload:
    """Unpickling this makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("nested", [False, True], ids=["bare", "inside-a-score"])
def test_g1_a_file_with_code_in_it_is_refused_and_the_code_not_run(
    score: LocalScore, tmp_path: Path, nested: bool
) -> None:
    path, marker = tmp_path / "score.pt", tmp_path / "marker"
    content: object = Payload(marker)
    if nested:
        save_score(score, path)
        content = {**torch.load(path, weights_only=True), "state": Payload(marker)}
        (tmp_path / "score.pt.sha256").unlink()
    torch.save(content, path)
    with pytest.raises(DataFileError, match=r"score\.pt"):
        load_score(path)
    assert not marker.exists()


def changed(score: LocalScore, path: Path, **entries: object) -> None:
    save_score(score, path)
    write_tensors(path, {**read_tensors(path), **entries})


def test_g4_extra_missing_and_misshapen_tensors_are_refused_by_name(score: LocalScore, tmp_path: Path) -> None:
    path, state = tmp_path / "score.pt", score.state_dict()
    name = next(iter(state))
    for wrong, what in (
        ({**state, "extra": torch.zeros(1)}, "extra"),
        ({k: v for k, v in state.items() if k != name}, name),
        ({**state, name: torch.zeros(3, 3)}, name),
    ):
        changed(score, path, state=wrong)
        with pytest.raises(DataFileError, match=what):
            load_score(path)


@pytest.mark.parametrize(
    "entries",
    [
        {"format": 99},
        {"model": "os.system"},
        {"process": "os:system"},
        {"process": "unheard-of"},
        {"parameters": "{not json"},
        {"parameters": '{"barrier": -1.0}'},
        {"options": '{"unknown": 1}'},
        {"options": '{"window": 0.3}'},
        {"time_range": [1.0]},
        {"state": 3},
    ],
    ids=str,
)
def test_g6_an_entry_that_makes_no_score_is_refused(
    score: LocalScore, tmp_path: Path, entries: dict[str, object]
) -> None:
    changed(score, tmp_path / "score.pt", **entries)
    with pytest.raises(DataFileError, match=r"score\.pt"):
        load_score(tmp_path / "score.pt")


@pytest.mark.parametrize("how", DAMAGE)
def test_g3_a_damaged_score_is_refused(score: LocalScore, tmp_path: Path, how: str) -> None:
    save_score(score, tmp_path / "score.pt")
    damage(tmp_path / "score.pt", how)
    with pytest.raises(DataFileError, match=r"score\.pt"):
        load_score(tmp_path / "score.pt")


def test_g5_a_score_with_huge_dimensions_is_refused_before_it_is_allocated(score: LocalScore, tmp_path: Path) -> None:
    options = score.options | {"network": {"name": "mlp", "width": 10_000_000}}
    changed(score, tmp_path / "score.pt", options=json.dumps(options))
    with pytest.raises(DataFileError, match=r"score\.pt.*memory"):
        load_score(tmp_path / "score.pt")


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04"], ids=["empty", "text", "png", "zip"]
)
def test_c1_what_is_no_score_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "score.pt").write_bytes(content)
    with pytest.raises(DataFileError):
        load_score(tmp_path / "score.pt")


def test_c1_a_missing_score_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="no such file"):
        load_score(tmp_path / "score.pt")
    with pytest.raises(DataFileError, match="no such file"):
        load_score(tmp_path)
