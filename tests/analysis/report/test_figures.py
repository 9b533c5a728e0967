"""Figures embedded in a page: captions, order, size."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin

import analysis.report.figures
from analysis.plots import plot_loss_history
from analysis.report.figures import drawn, figures_of
from physcore.errors import DataFileError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "figures"
    made.mkdir()
    return made


def draw(path: Path, **metadata: str) -> None:
    """Save a small figure, with what it says of itself."""
    figure = Figure(figsize=(1, 0.5))
    figure.subplots().plot([0, 1])
    figure.savefig(path, metadata=metadata)


def noisy(path: Path, side: int) -> None:
    """Save a picture that no compression makes smaller without loss."""
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def test_a_figure_says_itself_what_it_shows(folder: Path) -> None:
    draw(folder / "one.png", Title="The <b>title</b>", Description="How it is read.")
    (figure,) = figures_of(folder)
    assert (figure.title, figure.description) == ("The <b>title</b>", "How it is read.")
    assert figure.alternative == "Figure: The <b>title</b>"
    kind, _, data = figure.source.partition(";base64,")
    assert kind == "data:image/png"
    assert base64.b64decode(data) == (folder / "one.png").read_bytes()
    assert (figure.width, figure.height) == (96, 48)


def test_an_svg_is_embedded_as_a_picture_with_its_title(folder: Path) -> None:
    text = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 72 36'><title>Flow</title><desc>Arrows.</desc></svg>"
    (folder / "flow.svg").write_text(text)
    (figure,) = figures_of(folder)
    assert (figure.title, figure.description) == ("Flow", "Arrows.")
    assert (figure.width, figure.height) == (96, 48)
    assert figure.source.startswith("data:image/svg+xml;base64,")


def test_of_a_silent_figure_the_docstring_of_its_plot_speaks(folder: Path) -> None:
    draw(folder / "score_fields_exact_t1.5.png")
    draw(folder / "holiday_in_june.png")
    unknown, known = figures_of(folder)
    assert known.title.endswith("exact, t = 1.5")
    assert known.title.startswith("The score at one time")
    assert "maps of each learned component" in known.description
    assert (unknown.title, unknown.description) == ("holiday in june", "")


def test_figures_come_in_the_order_of_their_times(folder: Path) -> None:
    for time in ("10", "2", "0.5"):
        draw(folder / f"score_fields_exact_t{time}.png")
    draw(folder / "error_against_time_exact.png")
    order = [Path(figure.name).stem for figure in figures_of(folder)]
    assert order == [
        "error_against_time_exact",
        "score_fields_exact_t0.5",
        "score_fields_exact_t2",
        "score_fields_exact_t10",
    ]


def test_a_large_figure_is_compressed_and_that_is_said(folder: Path) -> None:
    noisy(folder / "large.png", 640)
    assert (folder / "large.png").stat().st_size > 1_000_000
    (figure,) = figures_of(folder)
    assert len(figure.source) < 4 / 3 * 1_000_000 + 100
    assert "figures/large.png is the original" in figure.note
    _, _, data = figure.source.partition(";base64,")
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == (640, 640)


def test_figures_beyond_the_limits_are_named_and_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(folder / "a.png")
    draw(folder / "b.png")
    (folder / "c.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'>" + " " * 1_000_000 + "</svg>")
    monkeypatch.setattr(analysis.report.figures, "PAGE_BYTES", len(figures_of(folder)[0].source) + 10)
    first, second, third = figures_of(folder)
    assert first.source
    assert not second.source
    assert second.note
    assert not third.source
    assert "too large" in third.note


def test_a_picture_that_would_fill_the_memory_is_left_out(folder: Path) -> None:
    Image.new("1", (10_000, 10_000)).save(folder / "bomb.png")
    (figure,) = figures_of(folder)
    assert not figure.source
    assert "100000000 pixels" in figure.note


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.png", b""),
        ("b.png", b"<html>"),
        ("c.svg", b"<svg"),
        ("d.svg", b"<html xmlns='http://www.w3.org/1999/xhtml'/>"),
        ("e.svg", b"<!DOCTYPE svg [<!ENTITY a 'b'>]><svg xmlns='http://www.w3.org/2000/svg'>&a;</svg>"),
    ],
)
def test_a_damaged_figure_is_an_error_that_names_it(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(DataFileError, match=name):
        figures_of(folder)


def test_a_truncated_figure_is_an_error_that_names_it(folder: Path) -> None:
    noisy(folder / "cut.png", 50)
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:4000])
    with pytest.raises(DataFileError, match=r"cut\.png"):
        figures_of(folder)


def test_very_long_text_of_a_figure_is_not_read(folder: Path) -> None:
    said = PngImagePlugin.PngInfo()
    said.add_text("Title", "x" * 20_000_000, zip=True)
    Image.new("1", (4, 4)).save(folder / "text.png", pnginfo=said)
    with pytest.raises(DataFileError, match=r"text\.png"):
        figures_of(folder)


def test_hidden_files_and_what_is_drawn_anew_are_left_out(folder: Path) -> None:
    draw(folder / ".partial-1-a.png")
    draw(folder / "loss_history.png")
    (folder / "notes.txt").write_text("text")
    assert figures_of(folder, ["loss_history"]) == []
    assert figures_of(folder.parent / "nowhere") == []


def test_a_figure_drawn_for_the_page_is_the_same_bytes_each_time() -> None:
    def again() -> str:
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([0, 1])
        return drawn(figure, plot_loss_history, "metrics.csv").source

    assert again() == again()
