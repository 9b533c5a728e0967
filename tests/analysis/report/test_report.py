"""The page of a run: what is in it, what it says is missing, and what it never overwrites."""

import dataclasses
import errno
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from analysis import write_report
from physcore.command import main
from physcore.configuration import parse_yaml, target_run
from physcore.errors import DataFileError, StorageError
from physcore.storage.manifest import Manifest
from physcore.storage.netcdf import write_dataset

EVIL = "<script>document.title='owned'</script>\"'>&amp;<img src=x onerror=alert(1)>"

VOID = {"meta", "img", "br", "hr", "link", "input", "wbr"}


@dataclasses.dataclass
class Element:
    """An element of a page.

    Arguments:
        tag: Its tag.
        attributes: Its attributes.
        inside: The tags around it, outermost first.
        text: All text in it.
    """

    tag: str
    attributes: dict[str, Any]
    inside: tuple[str, ...]
    text: str = ""


class Outline(HTMLParser):
    """Reads a page; every element that is opened must be closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.opened: list[Element] = []
        self.feed(page)
        self.close()
        assert not self.opened, [element.tag for element in self.opened]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs), tuple(outer.tag for outer in self.opened))
        assert len(element.attributes) == len(attrs), "an attribute stands twice"
        self.elements.append(element)
        if tag not in VOID:
            self.opened.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.opened[-1].tag == tag, f"</{tag}> closes <{self.opened[-1].tag}>"
        self.opened.pop()

    def handle_data(self, data: str) -> None:
        for element in self.opened:
            element.text += data

    def all(self, tag: str) -> list[Element]:
        """Return the elements of a tag in order."""
        return [element for element in self.elements if element.tag == tag]

    def ids(self) -> list[str]:
        """Return all ids."""
        return [element.attributes["id"] for element in self.elements if "id" in element.attributes]


def page_of(run: Path) -> str:
    return write_report(run).read_text(encoding="utf-8")


def edited(run: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """Change the manifest of a run."""
    fields = json.loads((run / "manifest.json").read_text())
    edit(fields)
    (run / "manifest.json").write_text(json.dumps(fields))
    return run


def test_a_run_ends_with_its_page(finished: Path) -> None:
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    outline = Outline(page)
    headings = [heading.text for heading in outline.all("h2")]
    sections = ["At a glance", "Process", "Simulation", "Score", "Comparison", "Figures", "Configuration", "Provenance"]
    assert headings == ["Contents", *sections]
    assert not [element for element in outline.elements if "notice" in element.attributes.get("class", "")]


def test_the_page_has_every_figure_with_words_and_a_size(finished: Path) -> None:
    pictures = Outline((finished / "report.html").read_text(encoding="utf-8")).all("img")
    figures = {path.stem for path in (finished / "figures").iterdir()}
    assert len(pictures) == len(figures) >= 4
    for picture in pictures:
        assert re.match(r"data:image/(png|svg\+xml|webp);base64,", picture.attributes["src"])
        assert len(picture.attributes["alt"]) > len("Figure: ")
        assert int(picture.attributes["width"]) > 0
        assert int(picture.attributes["height"]) > 0


def test_the_page_is_well_formed_for_those_who_hear_it(finished: Path) -> None:
    outline = Outline((finished / "report.html").read_text(encoding="utf-8"))
    ids = outline.ids()
    assert len(ids) == len(set(ids))
    for link in outline.all("a"):
        assert link.attributes["href"].removeprefix("#") in ids
    for element in outline.elements:
        labelled = element.attributes.get("aria-labelledby")
        assert labelled is None or labelled in ids
    levels = [int(element.tag[1]) for element in outline.elements if re.fullmatch(r"h[1-6]", element.tag)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    tables = outline.all("table")
    assert len(tables) == len(outline.all("caption")) > 5
    for heading in outline.all("th"):
        assert heading.attributes["scope"] == ("col" if "thead" in heading.inside else "row")
        assert heading.text.strip()
    assert outline.all("html")[0].attributes["lang"] == "en"


def test_the_page_names_no_other_file_and_runs_nothing(finished: Path) -> None:
    outline = Outline((finished / "report.html").read_text(encoding="utf-8"))
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & {e.tag for e in outline.elements}
    for element in outline.elements:
        assert not [name for name in element.attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert element.attributes.get(name, "#").startswith(("#", "data:image/"))
    assert "url(" not in outline.all("style")[0].text
    assert "@import" not in outline.all("style")[0].text


def test_numbers_stand_with_their_standard_errors(finished: Path) -> None:
    outline = Outline((finished / "report.html").read_text(encoding="utf-8"))
    table = next(
        table.text for table in outline.all("table") if "Relative score error [%], reference exact" in table.text
    )
    comparison = xr.load_dataset(finished / "comparison.nc").sel(reference="exact", selection="full", time=0.5)
    value, error = 100 * float(comparison["value"]), 100 * float(comparison["standard_error"])
    shown, spread = re.search(r"^0\.5\n([\d.]+) ± ([\d.]+)$", table, re.MULTILINE).groups()  # type: ignore[union-attr]
    assert float(shown) == pytest.approx(value, abs=0.06 * error)
    assert float(spread) == pytest.approx(error, rel=0.06)
    for word in ("full", "driven", "x0", "x1"):
        assert word in table


def test_process_configuration_and_provenance_are_there(finished: Path) -> None:
    outline = Outline((finished / "report.html").read_text(encoding="utf-8"))
    text = outline.all("main")[0].text
    manifest = Manifest.read(finished)
    assert "Gardiner, Handbook of Stochastic Methods" in text
    assert "[[-1.0, -1.0], [1.0, -1.0]]" in text
    assert len(outline.all("math")) > 5
    for version in manifest.versions.values():
        assert version in text
    for digest in manifest.checksums.values():
        assert digest in text
    assert manifest.created_at[:10] in text
    assert str(Path.cwd()) not in text
    assert str(finished.parent) not in text


def test_the_history_names_the_version_behind_each_stage(finished: Path) -> None:
    history = Manifest.read(finished).history
    assert [line.split()[1].rstrip(",") for line in history] == ["simulate", "fit", "compare"]
    assert all("physcore 0." in line for line in history)


def test_the_configuration_of_the_page_makes_the_run_again(finished: Path, tmp_path: Path) -> None:
    outline = Outline((finished / "report.html").read_text(encoding="utf-8"))
    (tmp_path / "again.yaml").write_text(outline.all("pre")[0].text, encoding="utf-8")
    manifest = Manifest.read(finished)
    settings = configuration_in(outline)
    recorded = {stage: {k: v for k, v in asked.items() if k != "seed"} for stage, asked in manifest.stages.items()}
    assert {stage: settings[stage] for stage in ("fit", "compare")} == recorded
    assert main(["simulate", str(tmp_path / "again.yaml"), "--out", str(tmp_path / "again")]) == 0
    assert Manifest.read(tmp_path / "again").checksums == manifest.checksums


def test_the_same_files_give_the_same_page_anywhere(finished: Path, run: Path) -> None:
    assert page_of(run) == (finished / "report.html").read_text(encoding="utf-8")


def test_a_page_that_would_be_the_same_is_left_as_it_is(run: Path) -> None:
    before = write_report(run).stat()
    after = write_report(run).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_run_that_only_simulated_is_drawn_and_says_what_is_missing(run: Path) -> None:
    edited(run, lambda fields: fields.update(stages={}, history=fields["history"][:1]))
    for name in ("score.pt", "score.pt.sha256", "history.nc", "metrics.csv", "comparison.nc"):
        (run / name).unlink()
    shutil.rmtree(run / "figures")
    outline = Outline(page_of(run))
    notices = [e.text for e in outline.elements if e.attributes.get("class") == "notice"]
    assert len(notices) == 2
    assert "Fit: not done. No score is learned." in notices[0]
    assert "Compare: not done." in notices[1]
    (picture,) = outline.all("img")
    assert "Paths and marginals" in picture.attributes["alt"]
    assert "Relative score error" not in outline.all("main")[0].text


def test_an_unfinished_simulation_says_how_much_there_is(run: Path) -> None:
    edited(run, lambda fields: fields.update(checksums={}, stages={}))
    segments = list((run / "trajectories").iterdir())
    segments[0].unlink()
    text = Outline(page_of(run)).all("main")[0].text
    assert f"The simulation is not finished: {len(segments) - 1} of {len(segments)} segments" in text


def test_an_unfinished_fit_shows_its_losses_so_far(run: Path) -> None:
    edited(run, lambda fields: fields.update(stages={}))
    (run / "checkpoints").mkdir()
    (run / "metrics.csv").rename(run / "checkpoints" / "metrics.csv")
    for name in ("score.pt", "comparison.nc"):
        (run / name).unlink()
    shutil.rmtree(run / "figures")
    outline = Outline(page_of(run))
    assert "Fit: unfinished." in outline.all("main")[0].text
    assert any("losses of a fit" in picture.attributes["alt"] for picture in outline.all("img"))


def test_a_score_of_fresh_trajectories_has_a_page_without_any(run: Path) -> None:
    online = {"name": "simulation", "paths": 1024, "duration": 1.0, "dt": 0.05}
    edited(run, lambda fields: fields.update(blocks=0, segments=0, checksums={}, simulation=online))
    edited(run, lambda fields: fields["stages"].pop("compare"))
    for name in ("trajectories", "figures"):
        shutil.rmtree(run / name)
    (run / "comparison.nc").unlink()
    outline = Outline(page_of(run))
    text = outline.all("main")[0].text
    assert "No trajectories are stored: the score is learned from fresh ones." in text
    assert "A comparison needs stored trajectories." in text
    assert "as a file for physcore fit" in text
    assert "simulate" not in configuration_in(outline)


def configuration_in(outline: Outline) -> Any:
    """Return the configuration in a page."""
    return parse_yaml(outline.all("pre")[0].text)


def test_of_a_single_validation_the_loss_is_said_and_nothing_is_drawn(run: Path) -> None:
    lines = (run / "metrics.csv").read_text().splitlines()
    (run / "metrics.csv").write_text("\n".join([lines[0], lines[-1]]) + "\n")
    outline = Outline(page_of(run))
    assert "Loss on held-out paths" in outline.all("main")[0].text
    assert not any("losses of a fit" in picture.attributes["alt"] for picture in outline.all("img"))


def test_what_is_of_an_earlier_score_is_left_out(run: Path) -> None:
    edited(run, lambda fields: fields["stages"].pop("compare"))
    outline = Outline(page_of(run))
    text = outline.all("main")[0].text
    assert "comparison.nc and the figures are of an earlier score and are left out" in text
    assert "Relative score error" not in text
    assert not any("score at one time" in picture.attributes["alt"] for picture in outline.all("img"))


def test_a_recorded_stage_whose_file_is_gone_is_missed(run: Path) -> None:
    (run / "comparison.nc").unlink()
    assert "A comparison is recorded, but comparison.nc is missing." in page_of(run)
    (run / "score.pt").unlink()
    assert "A fit is recorded, but score.pt is missing." in page_of(run)


def test_groups_and_files_nobody_announced_are_tabulated(run: Path) -> None:
    rate = xr.Dataset(
        {
            "value": ("time", [1.5, 2.0], {"long_name": "entropy production rate", "units": "1 / s"}),
            "standard_error": ("time", [0.012, 0.034]),
        },
        {"time": ("time", [0.5, 1.0], {"units": "s"})},
        {"parity": "x0 even, x1 even"},
    )
    rate.to_netcdf(run / "comparison.nc", mode="a", group="thermodynamics/rate")
    write_dataset(rate.rename(value="flux", standard_error="flux_standard_error"), run / "currents.nc")
    outline = Outline(page_of(run))
    titles = [heading.text for heading in outline.all("h3")]
    assert titles[0] == "Score error"
    assert titles[-2:] == ["Thermodynamics: rate", "Currents"]
    text = outline.all("main")[0].text
    assert text.count("Entropy production rate [1 / s]") == 2
    assert text.count("1.500 ± 0.012") == 2
    assert "parity: x0 even, x1 even" in text


def test_text_from_files_is_escaped(run: Path) -> None:
    def spoil(fields: dict[str, Any]) -> None:
        fields["process"] = EVIL
        fields["parameters"] = {EVIL: EVIL}
        fields["versions"][EVIL] = EVIL
        fields["history"].append(f"{EVIL} {EVIL}")
        fields["simulation"][EVIL] = EVIL

    edited(run, spoil)
    comparison = xr.load_dataset(run / "comparison.nc").assign_attrs(title=EVIL, about=EVIL)
    comparison["value"].attrs["long_name"] = EVIL
    comparison.to_netcdf(run / "comparison.nc")
    page = page_of(run)
    outline = Outline(page)
    assert not outline.all("script")
    assert not [picture for picture in outline.all("img") if picture.attributes["src"] == "x"]
    assert EVIL in outline.all("h1")[0].text
    assert EVIL in outline.all("h3")[0].text
    assert "is not registered where this page was written" in page
    write_report(run)  # the page is known as this run's, whatever its name


@pytest.mark.parametrize("spoiled", ["comparison.nc", "metrics.csv", "figures/loss_history.svg"])
def test_a_damaged_file_is_named_and_no_page_is_written(run: Path, spoiled: str) -> None:
    (run / spoiled).write_bytes(b"step,loss\n1,x\n")
    if spoiled.startswith("figures"):
        (run / spoiled).rename(run / "figures" / "other.svg")
        spoiled = "figures/other.svg"
    with pytest.raises(DataFileError, match=Path(spoiled).name):
        write_report(run)
    assert not (run / "report.html").exists()


def test_what_is_no_run_is_refused_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    for target, said in (("other", "other is no run"), ("missing", "missing is no run")):
        assert main(["report", target]) == 3
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert said in lines[0]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["notes.txt", "other"]


def test_only_a_page_of_the_same_run_is_overwritten(run: Path) -> None:
    (run / "report.html").write_text("<p>My own notes</p>")
    with pytest.raises(ValueError, match="no report of this run"):
        write_report(run)
    assert (run / "report.html").read_text() == "<p>My own notes</p>"
    assert write_report(run, "second.html").name == "second.html"
    shutil.copy(run / "second.html", run / "report.html")
    write_report(run)
    edited(run, lambda fields: fields.update(seed="4"))
    with pytest.raises(ValueError, match="no report of this run"):
        write_report(run)


@pytest.mark.parametrize("kind", ["folder", "link", "broken-link"])
def test_what_is_no_file_is_not_replaced(run: Path, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "elsewhere.html"
    if kind == "folder":
        (run / "report.html").mkdir()
    else:
        if kind == "link":
            shutil.copy(write_report(run, "second.html"), target)
        (run / "report.html").symlink_to(target)
    with pytest.raises(ValueError, match="no report of this run"):
        write_report(run)


@pytest.mark.parametrize("name", ["../up.html", "a/b.html", "/tmp/x.html", ".hidden.html", "page.txt", "", "a\0.html"])
def test_a_page_has_a_plain_name(run: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"must be a name that ends in \.html"):
        write_report(run, name)


def test_a_page_is_published_whole_or_not_at_all(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = page_of(run)
    edited(run, lambda fields: fields["history"].append("2030-01-01T00:00:00+00:00 something"))

    def full(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="no space left"):
        write_report(run)
    assert (run / "report.html").read_text(encoding="utf-8") == before
    assert not list(run.glob(".partial*"))


def test_the_command_prints_where_the_page_is(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out == f"report: {run / 'report.html'}\n"
    assert main(["report", str(run), "--file", "../x.html"]) == 2
    assert "must be a name" in capsys.readouterr().err


def test_a_run_can_be_asked_to_write_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(
        "process: double-well\nseed: 1\nsimulate: {paths: 1024, duration: 0.1, dt: 0.05, save_every: 1}\n"
        "report: {file: null}\n"
    )
    assert main(["run", "a.yaml", "--out", "a"]) == 0
    assert not (tmp_path / "a" / "report.html").exists()
    assert "report: none" in capsys.readouterr().out
    assert main(["run", "a.yaml", "--out", "a", "--report.file", "page.html"]) == 0
    assert (tmp_path / "a" / "page.html").exists()


def test_a_file_that_only_names_its_page_has_the_default_stages(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("process: double-well\nreport: {file: null}\n")
    assert {"simulate", "fit", "compare"} <= target_run("a.yaml").keys()


def test_a_run_refuses_to_begin_over_a_page_that_is_not_its_own(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "report.html").write_text("mine")
    (tmp_path / "a.yaml").write_text(Outline(page_for(run)).all("pre")[0].text)
    assert main(["run", "a.yaml", "--out", str(run), "--overwrite"]) == 2
    assert "no report of this run" in capsys.readouterr().err
    assert (run / "report.html").read_text() == "mine"


def page_for(run: Path) -> str:
    """Return the page of a run from beside the one that is in the way."""
    return write_report(run, "beside.html").read_text(encoding="utf-8")


def test_figures_of_other_numbers_would_be_noticed(finished: Path, run: Path) -> None:
    """The page is made from the files: with other losses it is another page."""
    lines = (run / "metrics.csv").read_text().splitlines()
    columns = lines[1].split(",")
    columns[1] = repr(2 * float(columns[1]))
    (run / "metrics.csv").write_text("\n".join([lines[0], ",".join(columns), *lines[2:]]) + "\n")
    assert np.not_equal(page_of(run), (finished / "report.html").read_text(encoding="utf-8"))
