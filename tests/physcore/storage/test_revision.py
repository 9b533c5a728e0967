"""The commit behind a run: that of the package's own checkout and of no other."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import physcore.storage.revision
from physcore.storage.revision import revision

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout that the package seems to run from."""
    module = tmp_path / "physcore" / "storage" / "revision.py"
    module.parent.mkdir(parents=True)
    module.write_text("first")
    monkeypatch.setattr(physcore.storage.revision, "__file__", str(module))
    revision.cache_clear()
    yield tmp_path
    revision.cache_clear()


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    done = subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_checkout_has_a_commit_and_says_if_files_differ(checkout: Path) -> None:
    git(checkout, "init", "-q")
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "First.")
    git(checkout, "tag", "v1")
    commit = git(checkout, "rev-parse", "HEAD")[:12]
    assert revision() == commit
    (checkout / "physcore" / "storage" / "revision.py").write_text("second")
    assert revision() == commit, "one process has one revision"
    revision.cache_clear()
    assert revision() == f"{commit}-dirty"


def test_without_a_checkout_of_its_own_there_is_none(checkout: Path) -> None:
    assert revision() == ""


def test_without_git_there_is_none(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / ".git").mkdir()
    assert revision() == "", "no repository"
    revision.cache_clear()
    monkeypatch.setenv("PATH", "")
    assert revision() == ""
