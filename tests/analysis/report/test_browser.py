"""The page of a run in a browser without a network: what it shows, at any width, in light and dark and on paper."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from analysis import write_report

WIDTHS = (400, 1280)
LEAST_CONTRAST = 4.5  # of text, Web Content Accessibility Guidelines 2.2, criterion 1.4.3
PICTURES = """Promise.all([...document.images].map(async image => {
    try { await image.decode() } catch (error) { return [0, image.alt] }
    return [image.naturalWidth, image.alt]
}))"""
BOXES = """[...document.images].map(image => {
    const box = image.getBoundingClientRect()
    return [box.left, box.top + scrollY, box.right, box.bottom + scrollY]
})"""
OUTSIDE = """[...document.querySelectorAll("body *")].filter(element => {
    const box = element.getBoundingClientRect()
    const inside = element.closest(".scroll, .theory, pre, .skip, .unseen, details:not([open])")
    return !inside && box.width > 0 && box.right > document.documentElement.clientWidth + 1
}).map(element => element.tagName + " " + element.className)"""
COLOURS = """[...document.querySelectorAll("body, .kind, .note, dt, a, thead th, .notice, .stages li, figcaption")].map(
    element => {
        let behind = element
        while (getComputedStyle(behind).backgroundColor == "rgba(0, 0, 0, 0)" && behind.parentElement)
            behind = behind.parentElement
        return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor]
    })"""


def faults(browser: Any, path: Path, width: int, scheme: str = "light") -> list[str]:
    """Return what is wrong with a page as a browser shows it."""
    browser.open(path, width, scheme)
    found = [f"picture not shown: {words}" for size, words in browser.value(PICTURES) if not size]
    found += [f"asked for {url[:80]}" for url in browser.requested if not allowed(url, path)]
    found += [f"complains: {json.dumps(said)[:300]}" for said in browser.complaints]
    wide = browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    found += [f"{wide} pixels wider than the window"] if wide > 0 else []
    return found + [f"outside: {name}" for name in browser.value(OUTSIDE)]


def allowed(url: str, path: Path) -> bool:
    return url == path.absolute().as_uri() or url.startswith("data:image/")


def contrast(pair: list[str]) -> float:
    """Return the contrast ratio of two colours as computed styles give them."""
    lights = []
    for colour in pair:
        parts = np.array([float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        lights.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def picture(browser: Any) -> NDArray[np.uint8]:
    """Return the pixels of the whole page."""
    size = browser.call("Page.getLayoutMetrics")["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
    taken = browser.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
    with Image.open(io.BytesIO(base64.b64decode(taken["data"]))) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_shown_without_a_fault(browser: Any, finished: Path, width: int, scheme: str) -> None:
    assert faults(browser, finished / "report.html", width, scheme) == []
    assert browser.value("document.title") == "ornstein-uhlenbeck: report of a run"
    assert browser.value("[...document.querySelectorAll('h2')].length") == 9
    assert browser.value("document.images.length") >= 4
    for pair in browser.value(COLOURS):
        assert contrast(pair) >= LEAST_CONTRAST, pair


@pytest.mark.parametrize(("scheme", "lightness"), [("light", 255), ("dark", 24)])
def test_the_screen_has_the_scheme_of_the_reader_and_figures_are_drawn(
    browser: Any, finished: Path, scheme: str, lightness: int
) -> None:
    browser.open(finished / "report.html", 1280, scheme)
    pixels = picture(browser)
    assert abs(int(np.median(pixels)) - lightness) < 12
    boxes = browser.value(BOXES)
    assert len(boxes) >= 4
    for left, top, right, bottom in boxes:
        shown = pixels[round(top) : round(bottom), round(left) : round(right)]
        assert np.median(shown) > 200, "a figure has a light ground in both schemes"
        assert (shown.min(axis=-1) < 100).mean() > 0.003, "a figure has something drawn on it"


def test_everything_opens_without_a_script_and_stays_within_the_window(browser: Any, finished: Path) -> None:
    browser.open(finished / "report.html", 400)
    folded = "document.querySelectorAll('details')"
    assert browser.value(f"{folded}.length") >= 5
    assert browser.value(f"[...{folded}].every(part => !part.open)")
    browser.value(f"[...{folded}].forEach(part => part.open = true)")
    assert browser.value("document.documentElement.scrollWidth") <= 400
    assert browser.value(OUTSIDE) == []


def test_paper_has_everything_and_no_list_of_links(browser: Any, finished: Path) -> None:
    browser.open(finished / "report.html", 1280, media="print")
    assert browser.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.value("document.querySelector('pre').getBoundingClientRect().height") > 100
    printed = browser.call("Page.printToPDF")["data"]
    assert base64.b64decode(printed).startswith(b"%PDF")


def test_a_screen_reader_finds_names_for_all_it_reads(browser: Any, finished: Path) -> None:
    browser.open(finished / "report.html")
    nodes = [node for node in browser.call("Accessibility.getFullAXTree")["nodes"] if not node.get("ignored")]
    named: dict[str, list[str]] = {}
    for node in nodes:
        named.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    for role in (
        "image",
        "table",
        "region",
        "navigation",
        "heading",
        "link",
        "columnheader",
        "rowheader",
        "MathMLMath",
    ):
        assert named.get(role), role
    for role in ("image", "table", "region", "navigation", "heading", "link", "columnheader", "rowheader"):
        assert named.get(role), role
        assert all(name.strip() for name in named[role]), role
    assert "MathMLMath" in named
    assert "main" in named


def test_text_from_files_does_not_run(browser: Any, run: Path) -> None:
    fields = json.loads((run / "manifest.json").read_text())
    evil = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    fields["process"] = evil
    fields["parameters"] = {evil: "javascript:alert(1)"}
    (run / "manifest.json").write_text(json.dumps(fields))
    path = write_report(run)
    assert faults(browser, path, 400) == []
    assert browser.value("document.title") == f"{evil}: report of a run"
    assert browser.value("document.querySelectorAll('script').length") == 0


def test_partial_runs_are_shown_without_a_fault(browser: Any, run: Path) -> None:
    fields = json.loads((run / "manifest.json").read_text())
    fields["stages"] = {}
    (run / "manifest.json").write_text(json.dumps(fields))
    (run / "score.pt").unlink()
    path = write_report(run)
    for width in WIDTHS:
        assert faults(browser, path, width, "dark") == []
    for pair in browser.value(COLOURS):
        assert contrast(pair) >= LEAST_CONTRAST, pair


def test_faults_of_a_page_are_noticed(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text(
        "<!DOCTYPE html><title>bad</title><p style='width: 900px'>wide</p>"
        "<img alt='broken' src='data:image/png;base64,AA'>"
        "<img alt='far' src='http://example.org/a.png'>"
        "<script>console.log(1); undefinedName()</script>"
    )
    found = "\n".join(faults(browser, path, 400))
    for fault in (
        "shown: broken",
        "shown: far",
        "asked for http://example.org",
        "complains",
        "wider than",
        "outside: P",
    ):
        assert fault in found, found
    assert contrast(["rgb(200, 200, 200)", "rgb(255, 255, 255)"]) < LEAST_CONTRAST
    assert contrast(["rgb(0, 0, 0)", "rgb(255, 255, 255)"]) == pytest.approx(21)
