"""What docs/extending.md shows works as it stands, as a package of a user's own."""

import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

import physcore.registry
from physcore.command import main

TEXT = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(toml|python|yaml)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
Run = Callable[..., str]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install the package that is shown, as far as the interpreter sees: its modules and its entry points."""
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "__init__.py").touch()
    groups: dict[str, dict[str, str]] = {}
    for language, text in BLOCKS:
        if language == "toml":
            groups |= tomllib.loads(text)["project"]["entry-points"]
        else:
            (tmp_path / text.splitlines()[0].removeprefix("# ")).write_text(text, encoding="utf-8")
    metadata = tmp_path / "mypackage-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mypackage\nVersion: 1.0\n")
    lines = (
        f"[{group}]\n" + "".join(f"{key} = {place}\n" for key, place in made.items()) for group, made in groups.items()
    )
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    physcore.registry._entries.cache_clear()
    yield tmp_path
    physcore.registry._entries.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "mypackage"]:
        del sys.modules[name]


@pytest.fixture
def run(package: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command that must succeed and return what it printed."""

    def called(*words: Any) -> str:
        code, told = main([str(word) for word in words]), capsys.readouterr()
        assert code == 0, told.err
        return told.out

    return called


def test_parts_of_a_users_own_package_stand_beside_those_of_physcore(
    run: Run, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.plots.draw_run", lambda folder, *rest: folder.figures.mkdir(exist_ok=True))
    assert "print the mean square" in run("--help")
    told = run("run", "pendulum")
    assert "relative score error against fixed-gaussian" in told
    assert "mean score" in told
    group = xr.open_datatree(package / "runs" / "pendulum" / "comparison.nc")["mean-score"].to_dataset()
    assert group["value"].dims == ("score", "time", "component")
    assert list(group["component"].values) == ["angle", "velocity"]
    words = ["--objective", "{name: plain-score-matching}", "--training.steps", 5, "--training.batch", 64]
    # Without a lag the window has to be given.
    assert main(["fit", "runs/pendulum", "--overwrite", *map(str, words)]) == 2
    words += ["--model.window", 0.5]
    assert "plain-score-matching" in run("fit", "runs/pendulum", "--overwrite", *words)
    assert re.fullmatch(r"angle: [\d.]+\nvelocity: [\d.]+\n", run("energy", "runs/pendulum"))
    assert "A damped pendulum" in (package / "runs" / "pendulum" / "report.html").read_text(encoding="utf-8")


def test_a_part_that_cannot_be_imported_leaves_the_others_alone(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (package / "mypackage" / "parts.py").write_text("import nowhere\n")
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert "simulate paths of a process" in told
    assert "energy" in told
    assert "cannot be imported: No module named 'nowhere'" in told
