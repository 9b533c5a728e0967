"""Faults D: configuration files and the command line."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from physcore.configuration import default_run, parse_yaml, target_run
from physcore.device import resolve_device
from physcore.registry import names

Run = Callable[..., Any]
BASE = "process: active-swimmer\nseed: 3\nsimulate: {paths: 1024, duration: 0.1, dt: 0.01, save_every: 5}\n"
WORDS = ["--paths", 1024, "--duration", 0.1, "--dt", 0.01, "--save_every", 5]


@pytest.fixture
def refused(command: Run, tmp_path: Path) -> Callable[..., None]:
    """A configuration must be refused in one line that holds some words, and nothing may be made."""

    def check(content: str | bytes, *parts: str) -> None:
        path = tmp_path / "run.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        command("simulate", path).check_error(2, *parts)
        assert not (tmp_path / "runs").exists()

    return check


def test_a_configuration_file_is_run(command: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(BASE)
    assert command("simulate", "mine.yaml").code == 0
    manifest = json.loads((tmp_path / "runs" / "mine" / "manifest.json").read_text())
    assert manifest["simulation"]["paths"] == 1024
    assert manifest["seed"] == "3"


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("sed: 3", ["'sed'", "did you mean 'seed'"]),
        ("simulate: {path: 5}", ["'path'", "did you mean 'paths'"]),
        ("simulate: {paths: 1.5}", ["paths"]),
        ("simulate: {paths: lots}", ["paths"]),
        ("simulate: {paths: [1]}", ["paths"]),
        ("simulate: {paths: null}", ["paths"]),
        ("simulate: {dt: fast}", ["dt"]),
        ("simulate: {dt: null}", ["dt"]),
        ("simulate: {dtype: null}", ["dtype"]),
        ("threads: null", ["threads"]),
        ("device: null", ["device"]),
        ("parameters: null", ["parameters"]),
        ("parameters: {friction: null}", ["friction"]),
        ("simulate: {dtype: float16}", ["dtype"]),
        ("simulate: {scheme: milstein}", ["milstein", "euler-maruyama"]),
        ("simulate: 3", ["'simulate'", "mapping"]),
        ("process: active-swimer", ["did you mean 'active-swimmer'"]),
        ("process: 3", ["process"]),
        ("parameters: {friktion: 1.0}", ["'friktion'", "friction"]),
        ("parameters: {friction: much}", ["friction"]),
        ("parameters: {friction: -1.0}", ["friction", "-1.0"]),
        ("parameters: 3", ["parameters"]),
        ("threads: 0", ["threads"]),
        ("seed: -1", ["seed"]),
        ("seed: 18446744073709551616", ["seed"]),
        ("seed: 1.5", ["seed"]),
        ("seed: x", ["seed"]),
        ("out: ''", ["out"]),
        ('out: "a\\0b"', ["out"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_d1_a_key_or_value_that_cannot_be_is_named(refused: Run, line: str, parts: list[str]) -> None:
    key = line.partition(":")[0]
    refused("\n".join([row for row in BASE.splitlines() if row.partition(":")[0] != key] + [line]), *parts)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--pathz", 5], "pathz"),
        (["--paths", "1.5"], "paths"),
        (["--paths", "lots"], "paths"),
        (["--paths"], "paths"),
        (["--dtype", "half"], "dtype"),
        (["--seed", "-1"], "seed"),
        (["--seed", str(2**64)], "seed"),
        (["--seed", "1.0"], "seed"),
        (["--fit.training.steps", 5], "fit.training.steps"),
        (["extra"], "extra"),
        (["--parameters.friktion", 1], "friktion"),
    ],
    ids=str,
)
def test_d1_a_word_that_cannot_be_is_named(command: Run, words: list[object], part: str) -> None:
    command("simulate", "active-swimmer", *WORDS, *words).check_error(2, part)


@pytest.mark.parametrize(
    "text",
    [
        '!!python/object/apply:os.mkdir ["marker"]',
        'process: !!python/object/apply:os.mkdir ["marker"]',
        "process: !!python/name:os.system",
        "process: !include secret.yaml",
    ],
)
def test_d2_a_tag_that_names_code_is_refused_and_not_run(refused: Run, tmp_path: Path, text: str) -> None:
    refused(text, "run.yaml")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    "text", [BASE + "seed: 4\n", BASE.replace("paths: 1024", "paths: 1024, paths: 5")], ids=["top", "inner"]
)
def test_d3_a_key_that_stands_twice_is_refused_with_its_line(refused: Run, text: str) -> None:
    refused(text, "twice", "line")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "mapping"),
        (b"- a\n- b\n", "mapping"),
        (b"just words", "mapping"),
        (b"process: \xff\xfe", "UTF-8"),
        (BASE.encode("utf-16"), "run.yaml"),
        (b"process: [" * 10_000, "run.yaml"),
        (b"[" * 100_000, "run.yaml"),
        (b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "alias"),
        (b"process: active-swimmer\nparameters: {<<: {friction: 1.0}}\n", "'<<'"),
        (b"a: 1\n" * 300_000, "larger"),
        (b"process: 'open\n", "run.yaml"),
        (b"1: 2\n", "1"),
        (b"a: b: c\n", "run.yaml"),
        (b"---\na: 1\n---\nb: 1\n", "run.yaml"),
        (b"\x00\x01", "run.yaml"),
    ],
    ids=[
        "empty",
        "list",
        "scalar",
        "no-utf-8",
        "utf-16",
        "deep-mapping",
        "deep-list",
        "anchors",
        "merge",
        "huge",
        "unclosed",
        "number-as-key",
        "two-colons",
        "two-documents",
        "control",
    ],
)
def test_d4_a_file_that_is_no_strict_mapping_is_refused_at_once(refused: Run, content: bytes, part: str) -> None:
    refused(content, part)


def test_d4_a_byte_order_mark_is_forgiven(command: Run, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes(b"\xef\xbb\xbf" + BASE.encode())
    assert command("simulate", "run.yaml").code == 0


def test_d4_files_that_are_none_are_refused(command: Run, tmp_path: Path) -> None:
    command("simulate", "missing.yaml").check_error(2, "missing.yaml")
    (tmp_path / "folder.yaml").mkdir()
    command("simulate", "folder.yaml").check_error(2, "folder.yaml")
    (tmp_path / "null.yaml").symlink_to("/dev/null")
    command("simulate", "null.yaml").check_error(2, "null.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E3", 1e3),
        ("1.e3", 1e3),
        (".5", 0.5),
        ("-.5e-1", -0.05),
        ("7", 7),
        ("-0", 0),
        ("true", True),
        ("null", None),
        ("yes", "yes"),
        ("no", "no"),
        ("off", "off"),
        ("True", "True"),
        ("0x10", "0x10"),
        ("010", "010"),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2020-01-01", "2020-01-01"),
        ("'7'", "7"),
    ],
)
def test_d5_yaml_means_what_it_seems_to(text: str, value: object) -> None:
    parsed = parse_yaml(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("number", ["0x10", "010", "12:30:00", "1_000", "yes", "true"])
def test_d5_what_is_no_plain_number_is_refused_where_a_number_is_wanted(refused: Run, number: str) -> None:
    refused(BASE.replace("paths: 1024", f"paths: {number}"), "paths")


@pytest.mark.parametrize("number", ["1e-2", "1E-2", "0.01", ".01"])
def test_d5_numbers_are_numbers_in_any_writing(command: Run, tmp_path: Path, number: str) -> None:
    (tmp_path / "run.yaml").write_text(BASE.replace("dt: 0.01", f"dt: {number}"))
    assert command("simulate", "run.yaml").code == 0
    assert command("simulate", "active-swimmer", *WORDS, "--dt", number, "--out", "other").code == 0


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--paths", 0], "paths"),
        (["--paths", -1], "paths"),
        (["--paths", 10**24], "paths"),
        (["--dt", 0], "dt"),
        (["--dt", -1], "dt"),
        (["--dt", "nan"], "dt"),
        (["--dt", ".nan"], "dt"),
        (["--dt", ".inf"], "dt"),
        (["--dt", "1e-320"], "dt"),
        (["--duration", 0], "duration"),
        (["--duration", -1], "duration"),
        (["--duration", "1e300"], "dt"),
        (["--save_every", 0], "save_every"),
        (["--save_every", 7], "save_every"),
        (["--save_every", 10**6], "save_every"),
        (["--paths_per_block", 1000], "paths_per_block"),
        (["--threads", 0], "threads"),
        (["--threads", 10**6], "threads"),
    ],
    ids=str,
)
def test_d6_numbers_out_of_range_are_refused_before_anything_is_made(
    command: Run, tmp_path: Path, words: list[object], part: str
) -> None:
    command("simulate", "active-swimmer", *WORDS, *words, "--out", "run").check_error(2, part)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("parameters", "part"),
    [
        ("{drift_matrix: [[1.0]], noise_matrix: [[1.0]]}", "stable"),
        ("{drift_matrix: [[-1.0, 0.0]]}", "square"),
        ("{noise_matrix: [[1.0, 0.0]]}", "rows"),
        ("{initial_covariance: [[1.0, 2.0], [2.0, 1.0]]}", "-1"),
        ("{initial_covariance: [[1.0, 0.5], [0.0, 1.0]]}", "symmetric"),
        ("{drift_matrix: [[-1.0, x], [0.0, -1.0]]}", "drift_matrix"),
        ("{drift_matrix: [[-1.0], [0.0, -1.0]]}", "drift_matrix"),
    ],
    ids=lambda value: value,
)
def test_d7_wrong_matrices_are_refused_by_name(refused: Run, parameters: str, part: str) -> None:
    refused(f"process: ornstein-uhlenbeck\nparameters: {parameters}\n", part)


def test_d8_a_missing_seed_is_drawn_stored_and_kept_for_the_next_stage(command: Run, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(BASE.replace("seed: 3", "seed: null"))
    seeds = []
    for name in ("first", "second", "first"):
        assert command("simulate", "run.yaml", "--out", name).code == 0
        seeds.append(json.loads((tmp_path / name / "manifest.json").read_text())["seed"])
    assert seeds[0] != seeds[1]
    assert seeds[2] == seeds[0]


@pytest.mark.parametrize("seed", [0, 2**53 + 1, 2**64 - 1])
def test_d8_seeds_of_64_bits_are_kept_exactly(command: Run, tmp_path: Path, seed: int) -> None:
    assert command("simulate", "active-swimmer", *WORDS, "--seed", seed, "--out", "run").code == 0
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["seed"] == str(seed)
    (tmp_path / "run.yaml").write_text(BASE.replace("seed: 3", f"seed: {seed}"))
    assert command("simulate", "run.yaml", "--out", "again").code == 0
    assert json.loads((tmp_path / "again" / "manifest.json").read_text())["seed"] == str(seed)


@pytest.mark.parametrize("out", ["", " ", "a\0b"])
def test_d9_a_directory_without_a_name_is_refused(command: Run, out: str) -> None:
    command("simulate", "active-swimmer", *WORDS, "--out", out).check_error(2, "out")


@pytest.mark.parametrize("name", names("physcore.processes"))
def test_d10_a_printed_configuration_is_the_run_it_was_printed_for(
    command: Run, tmp_path: Path, sha256: Run, name: str
) -> None:
    settings = default_run(name)["simulate"]
    dt, between = settings["dt"], settings["save_every"]
    words = ["--paths", 1024, "--duration", 2 * dt * between]
    printed = command("simulate", name, *words, "--print_config")
    assert printed.code == 0
    assert not (tmp_path / "runs").exists()
    (tmp_path / "printed.yaml").write_text(printed.out)
    assert command("simulate", "printed.yaml", "--print_config").out == printed.out
    assert command("simulate", name, *words, "--out", "direct").code == 0
    assert command("simulate", "printed.yaml", "--out", "printed").code == 0
    assert sha256(tmp_path / "direct") == sha256(tmp_path / "printed")


@pytest.mark.parametrize("name", names("physcore.processes"))
def test_d10_the_whole_default_run_can_be_printed_and_read(command: Run, tmp_path: Path, name: str) -> None:
    printed = command("run", name, "--print-config")
    (tmp_path / "printed.yaml").write_text(printed.out)
    assert command("run", "printed.yaml", "--print_config").out == printed.out
    parsed = parse_yaml(printed.out)
    stages = {"simulate", "fit", "compare"}
    assert set(parsed) >= {"process", "seed", "simulate"}
    assert stages & set(parsed) == stages & set(default_run(name))
    assert parsed["simulate"]["dt"] == default_run(name)["simulate"]["dt"]


def test_d11_help_and_version_are_quick_and_need_neither_torch_nor_mpi() -> None:
    heavy = ["torch", "mpi4py", "matplotlib", "xarray", "scipy", "pandas", "dask", "netCDF4"]
    # Quick is what loads little: 360 modules, most of them of numpy and Python's own, where torch alone has 1000.
    code = (
        "import sys\nfrom physcore.command import main\nassert main(sys.argv[1:]) == 0\n"
        f"loaded = set({heavy}) & set(sys.modules)\nassert not loaded, loaded\n"
        "assert len(sys.modules) < 500, len(sys.modules)\n"
    )
    script = Path(sys.executable).with_name("physcore")
    for words in (["--help"], ["--version"]):
        for line in ([sys.executable, "-c", code], [script]):
            done = subprocess.run([*line, *words], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert done.stdout


def test_d11_help_lists_every_command_and_each_has_a_help_of_its_own(command: Run) -> None:
    text = command("--help").out
    for name in names("physcore.commands"):
        assert f"  {name} " in text
        outcome = command(name, "--help")
        assert outcome.code == 0
        assert "target" in outcome.out
    assert command().code == 2
    command("simulat").check_error(2, "did you mean 'simulate'")
    command("--versio").check_error(2)


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "os:system", "a\0b"])
def test_d12_g6_a_name_is_a_registered_name_and_never_a_path_or_an_import(
    command: Run, refused: Run, tmp_path: Path, name: str
) -> None:
    quoted = json.dumps(name)
    refused(f"process: {quoted}\n", "unknown process")
    command("simulate", name, *WORDS).check_error(2, "unknown process")
    run = tmp_path / "run"
    words = ["--paths", 1024, "--duration", 1.0, "--dt", 0.05, "--save_every", 2, "--out", run]
    assert command("simulate", "ornstein-uhlenbeck", *words).code == 0
    quoted = json.dumps(name)
    command("fit", run, "--objective", f"{{name: {quoted}}}").check_error(2, "unknown name")
    command("fit", run, "--model", f"{{name: {quoted}}}").check_error(2, "unknown name")
    assert command("fit", run, "--training.steps", 2, "--training.batch", 8).code == 0
    command("compare", run, "--paths", 200, "--references", f"[{{name: {quoted}}}]").check_error(2, "unknown name")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.yaml"]


def test_g6_a_class_path_in_a_configuration_is_no_key(refused: Run, command: Run, tmp_path: Path) -> None:
    refused("class_path: os.system\ninit_args: {command: 'touch marker'}\n", "run.yaml")
    refused(BASE + "parameters: {class_path: os.mkdir, init_args: {path: marker}}\n", "class_path")
    assert not (tmp_path / "marker").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:7", "tpu", "mps", "", "cpu:x"])
def test_d13_a_device_that_is_not_there_is_refused(command: Run, tmp_path: Path, device: str) -> None:
    command("simulate", "active-swimmer", *WORDS, "--device", device, "--out", "run").check_error(2, "device")
    assert not list(tmp_path.rglob("*.nc"))


def test_d13_auto_falls_back_to_the_cpu() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert resolve_device("auto").type == expected


def test_f9_ranks_take_the_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [resolve_device("cuda", rank).index for rank in (0, 1)] == [0, 1]
    with pytest.warns(UserWarning, match="shares"):
        assert resolve_device("cuda", 2).index == 0
    assert resolve_device("cuda:1", 5).index == 1
    with pytest.raises(ValueError, match="2 CUDA devices"):
        resolve_device("cuda:7")


def test_an_error_shows_its_traceback_only_when_asked(command: Run) -> None:
    command("simulate", "active-swimmer", *WORDS, "--paths", 0).check_error(2)
    outcome = command("simulate", "active-swimmer", *WORDS, "--paths", 0, "--debug")
    assert outcome.code == 2
    assert "Traceback" in outcome.err
    assert outcome.err.strip().splitlines()[-1].startswith("physcore: ")


def test_an_option_is_never_guessed_and_a_missing_target_is_told(command: Run) -> None:
    command("simulate").check_error(2, "required: target")
    command("simulate", "double-well", "--path", 5).check_error(2, "unknown option --path: did you mean --paths")
    command("run", "double-well", "--simulate.dur", 5).check_error(2, "unknown option --simulate.dur", "duration")


@pytest.mark.parametrize("stage", ["fit", "compare", "report"])
def test_a_stage_is_never_of_another_process_than_its_run(command: Run, tmp_path: Path, stage: str) -> None:
    assert command("simulate", "double-well", *WORDS, "--out", "run").code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    other = "holds a run of another process"
    command(stage, "run", "--process", "duffing").check_error(2, other, "double-well -> duffing")
    command(stage, "run", "--parameters.barrier", 3).check_error(2, other, "barrier: 1.0 -> 3.0")
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_a_directory_that_is_no_run_or_has_no_score_says_what_to_do(command: Run, tmp_path: Path) -> None:
    command("fit", "nowhere").check_error(3, "nowhere is no run: there is no such directory")
    assert command("simulate", "double-well", *WORDS).code == 0
    command("compare", "double-well").check_error(3, "did you mean runs/double-well?")
    command("compare", "runs/double-well").check_error(3, "`physcore fit runs/double-well`")
    command("run", "runs/double-well").check_error(2, "is a directory", "--out runs/double-well")


def test_the_help_lists_the_names_that_an_option_takes_each_in_one_piece(command: Run) -> None:
    text = command("run", "--help").out
    for group in ("processes", "schemes", "objectives", "models", "references", "quantities"):
        for name in names(f"physcore.{group}"):
            assert name in text, name
    assert "``" not in text
    assert "None" not in text


def test_options_may_be_written_with_dashes_or_underscores(command: Run, tmp_path: Path) -> None:
    words = ["--paths", 1024, "--duration", 0.1, "--dt", 0.01, "--save-every=5", "--paths-per-block", 2048]
    assert command("simulate", "active-swimmer", *words, "--out", "run-1").code == 0
    assert (tmp_path / "run-1" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["double-well", "--compare.references", "[{name: exact}]"], "SolvableProcess"),
        (["double-well", "--compare.times", "[0.505]"], "was not saved"),
        (
            ["double-well", "--compare.paths", "1000000", "--compare.references", "[{name: gaussian-fit}]"],
            "gaussian-fit",
        ),
        (["double-well", "--compare.references", "[fokker-planck, {name: fokker-planck, cells: [64]}]"], "twice"),
        (["double-well", "--simulate.paths", "10"], "`compare.blocks` must be between 2 and the 10 paths"),
        (["tilted-ring", "--compare.references", "[{name: fokker-planck, periods: {theta: 3.0}}]"], "`periods`"),
        (["double-well", "--compare.quantities", "[{name: entropy-production-rate, parity: {x: odd}}]"], "an integer"),
        (["ornstein-uhlenbeck", "--fit.objective.lag", "-1"], "`lag`"),
        (["ornstein-uhlenbeck", "--fit.model.name", "unet"], "'unet'"),
        (["ornstein-uhlenbeck", "--simulate.scheme", "milstein"], "'milstein'"),
        (["ornstein-uhlenbeck", "--fit.objective.lag", "700"], "a lag of 700"),
        (["ornstein-uhlenbeck", "--fit.training.first_time", "700"], "`first_time`"),
        (["active-swimmer", "--fit.objective", "{name: local-denoising, lag: {name: clock, gap: 0.1}}"], "no clock"),
        (["ornstein-uhlenbeck", "--simulate.paths", "1"], "too few to hold out"),
    ],
    ids=[
        *("reference", "times", "samples", "twice", "blocks", "period", "parity", "objective", "model", "scheme"),
        *("lag", "first-time", "clock", "one-path"),
    ],
)
def test_a_later_stage_that_cannot_work_is_refused_before_the_first_begins(
    command: Run, tmp_path: Path, words: list[str], part: str
) -> None:
    command("run", *words, "--out", tmp_path / "run").check_error(2, part)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["fit.objective", "implicit-score-matching"], ["fit.objective", "{name: implicit-score-matching}"]),
        (["fit.model", "direct"], ["fit.model", "{name: direct}"]),
        (["fit.online", "simulation"], ["fit.online", "{name: simulation}"]),
        (
            ["compare.references", "[exact, gaussian-fit]"],
            ["compare.references", "[{name: exact}, {name: gaussian-fit}]"],
        ),
    ],
    ids=["objective", "model", "online", "references"],
)
def test_a_name_alone_is_the_part_of_that_name(command: Run, words: list[str], option: list[str]) -> None:
    ways = [["--" + way[0], way[1]] for way in (words, option)]
    ways.append([f"--{words[0]}={words[1]}"])
    printed = {command("run", "ornstein-uhlenbeck", *way, "--print_config").out for way in ways}
    assert len(printed) == 1
    section, key = words[0].split(".")
    assert parse_yaml(printed.pop())[section][key] == parse_yaml(option[1])


def test_a_name_alone_in_a_file_keeps_what_the_default_run_says_of_that_part(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "process: active-swimmer\nfit: {objective: path-weighted-denoising, model: direct}\n"
    )
    fit = target_run(str(tmp_path / "mine.yaml"))["fit"]
    assert fit["objective"] == {"name": "path-weighted-denoising", "lag": 1.0, "targets": 1}
    assert fit["model"] == {"name": "direct"}
