"""Options of ``simulate`` on the command line: what is saved, by which scheme, and how it is computed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from physcore import open_run

Command = Callable[..., Any]


def test_frames_may_be_saved_at_given_times_or_at_the_end(tmp_path: Path, command: Command) -> None:
    for saving, times in ((("--save_times", "[0.01, 0.03]"), [0.01, 0.03]), (("--save_every", "final"), [0.05])):
        out = tmp_path / saving[0]
        words = ("--paths", 50, "--duration", 0.05, "--dt", 0.01, "--out", out)
        assert command("simulate", "active-swimmer", *words, *saving).code == 0
        assert open_run(out)["time"].values.tolist() == pytest.approx(times)
        assert "done already" in command("simulate", "active-swimmer", *words, *saving).out
    for wrong in ("[0.013]", "[0.03, 0.01]", "[]", "[0.9]", "[nan]"):
        outcome = command("simulate", "active-swimmer", *words[:-1], tmp_path / "wrong", "--save_times", wrong)
        assert outcome.code == 2
        assert "save_times" in outcome.err


def test_a_scheme_that_is_not_made_for_the_process_is_refused(tmp_path: Path, command: Command) -> None:
    outcome = command("simulate", "active-swimmer", "--scheme", "baoab", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "Langevin" in outcome.err
    outcome = command("simulate", "active-swimmer", "--noise", "two-point", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert not (tmp_path / "run").exists()


def test_verbose_says_how_the_steps_are_computed(tmp_path: Path, command: Command) -> None:
    words = ("--paths", 50, "--duration", 0.05, "--dt", 0.01, "--save_every", 1)
    assert "kernel" not in command("simulate", "active-swimmer", *words, "--out", tmp_path / "a").err
    assert "kernel" in command("simulate", "active-swimmer", *words, "--out", tmp_path / "b", "--verbose").err
