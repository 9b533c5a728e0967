"""A run does the stages that its configuration has, and says which it left out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from physcore.configuration import parse_yaml, target_run

Run = Callable[..., Any]
SIMULATE = "process: ornstein-uhlenbeck\nseed: 3\nsimulate: {paths: 1024, duration: 1.0, dt: 0.05, save_every: 2}\n"
FIT = "fit: {objective: {name: local-denoising, lag: 0.2}, training: {steps: 2, batch: 8}}\n"
COMPARE = "compare: {references: [{name: exact}], times: [1.0], paths: 200}\n"


@pytest.fixture
def stages(command: Run, tmp_path: Path) -> Callable[..., Any]:
    """Run a configuration; return how it ended and what it left."""

    def run(content: str, *words: object) -> tuple[Any, set[str]]:
        (tmp_path / "mine.yaml").write_text(content)
        outcome = command("run", "mine.yaml", *words, "--out", "out")
        left = {path.name for path in (tmp_path / "out").glob("*")} & {"trajectories", "score.pt", "comparison.nc"}
        return outcome, left

    return run


@pytest.mark.parametrize(
    ("content", "left", "said"),
    [
        (SIMULATE, {"trajectories"}, "fit and compare: skipped"),
        (SIMULATE + FIT, {"trajectories", "score.pt"}, "compare: skipped"),
        (SIMULATE + FIT + COMPARE, {"trajectories", "score.pt", "comparison.nc"}, None),
    ],
    ids=["simulate", "simulate-fit", "all"],
)
def test_a_run_has_the_stages_of_its_file(stages: Run, content: str, left: set[str], said: str | None) -> None:
    outcome, found = stages(content)
    assert outcome.code == 0, outcome.err
    assert found == left
    assert (said in outcome.out) if said else ("skipped" not in outcome.out)
    assert outcome.out.count("skipped") <= 1


def test_a_stage_that_was_left_out_can_be_done_later(stages: Run) -> None:
    assert stages(SIMULATE)[1] == {"trajectories"}
    outcome, found = stages(SIMULATE + FIT)
    assert outcome.code == 0, outcome.err
    assert found == {"trajectories", "score.pt"}


def test_an_option_of_a_stage_turns_it_on(stages: Run) -> None:
    outcome, found = stages(SIMULATE, "--fit.training.steps", 2, "--fit.training.batch=8")
    assert outcome.code == 0, outcome.err
    assert found == {"trajectories", "score.pt"}
    assert "compare: skipped" in outcome.out


@pytest.mark.parametrize("content", [SIMULATE + COMPARE, SIMULATE], ids=["file", "option"])
def test_a_comparison_without_a_fit_is_refused_before_the_run(stages: Run, content: str) -> None:
    outcome, found = stages(content, *(["--compare.paths", 200] if content == SIMULATE else []))
    outcome.check_error(2, "`compare`", "`fit`")
    assert not found


def test_a_file_without_stages_has_those_of_the_default_run(tmp_path: Path) -> None:
    (tmp_path / "bare.yaml").write_text("process: ornstein-uhlenbeck\nseed: 3\n")
    assert {"simulate", "fit", "compare"} <= target_run("bare.yaml").keys()
    (tmp_path / "short.yaml").write_text(SIMULATE + "fit: {}\n")
    chosen = target_run("short.yaml")
    assert "compare" not in chosen
    assert chosen["fit"] == target_run("ornstein-uhlenbeck")["fit"]
    assert chosen["simulate"]["paths"] == 1024
    (tmp_path / "late.yaml").write_text("process: ornstein-uhlenbeck\n" + FIT)
    assert target_run("late.yaml")["simulate"] == target_run("ornstein-uhlenbeck")["simulate"]


def test_a_default_run_that_simulates_alone_prints_no_other_section(command: Run) -> None:
    printed = parse_yaml(command("run", "kuramoto", "--print_config").out)
    assert "simulate" in printed
    assert not {"fit", "compare"} & printed.keys()


def test_a_default_run_that_simulates_alone_says_so(command: Run, tmp_path: Path) -> None:
    words = ["--simulate.paths", 1024, "--simulate.duration", 0.5, "--out", "out"]
    outcome = command("run", "active-brownian-particles", *words)
    assert outcome.code == 0, outcome.err
    assert "fit and compare: skipped" in outcome.out
    assert (tmp_path / "out" / "trajectories").is_dir()
