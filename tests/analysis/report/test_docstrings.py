"""Docstrings taken apart and turned into HTML."""

from pathlib import Path

import pytest

import analysis.plots
from analysis.report.docstrings import converted, docstring_of, plain_text
from physcore.registry import load, names


class Example:
    r"""One sentence: with a colon.

    More of it, :math:`\gamma > 0`.

    Arguments:
        first: What it is, [length];
            on two lines.
        second (int): The other.

    Raises:
        ValueError: If something is wrong.

    Source:
        Somebody, A Book (2000).
    """


def test_a_docstring_is_taken_apart() -> None:
    said = docstring_of(Example)
    assert said.summary == "One sentence: with a colon."
    assert said.body == r"More of it, :math:`\gamma > 0`."
    assert said.entries == {"first": "What it is, [length];\non two lines.", "second": "The other."}
    assert said.sections == {"Raises": "ValueError: If something is wrong.", "Source": "Somebody, A Book (2000)."}


def test_what_has_no_docstring_says_nothing() -> None:
    said = docstring_of(type("Silent", (), {}))
    assert (said.summary, said.body, said.entries, said.sections) == ("", "", {}, {})


def test_formulas_become_mathml_and_all_else_is_escaped() -> None:
    page = converted(r"Below :math:`\frac{x}{2} < 1` & <script>alert(1)</script>, see ``code``.")
    assert "<mfrac>" in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert not page.startswith("<p>")


@pytest.mark.parametrize("directive", ["raw:: html\n\n   <script>alert(1)</script>", "include:: {path}"])
def test_a_docstring_hands_on_no_file_and_no_raw_html(directive: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret")
    page = converted(f"Text.\n\n.. {directive.format(path=tmp_path / 'secret')}\n")
    assert "<script>" not in page
    assert "a secret" not in page


def test_plain_text_keeps_the_latex_of_a_formula() -> None:
    assert plain_text("The rate\n:math:`k x` of ``fit``.") == "The rate k x of fit."


@pytest.mark.parametrize("name", names("physcore.processes"))
def test_every_process_describes_its_parameters_and_its_formulas_convert(name: str) -> None:
    kind = load("physcore.processes", name)
    said = docstring_of(kind)
    for text in (*said.entries.values(), said.sections.get("Source", ""), said.summary):
        page = converted(text)
        assert "system-message" not in page
        assert ":math:" not in page


@pytest.mark.parametrize("name", [name for name in analysis.plots.__all__ if name.startswith("plot_")])
def test_every_plot_says_what_it_draws(name: str) -> None:
    said = docstring_of(getattr(analysis.plots, name))
    assert said.summary.startswith("Draw ")
    assert "system-message" not in converted(said.sections.get("Returns", ""))
