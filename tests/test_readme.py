"""What the README shows works as it stands: each python block is run, and what it names on the command line exists."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from physcore.registry import names

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.skipif(not BLOCKS, reason="the README shows no Python")
def test_the_python_blocks_run_in_order_as_they_stand(tmp_path: Path) -> None:
    """Later blocks may build on the names of earlier ones, as a reader would who types them in."""
    script = tmp_path / "readme.py"
    script.write_text("\n\n".join(BLOCKS), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"},
    )
    assert done.returncode == 0, done.stderr


def test_commands_and_names_in_the_readme_exist() -> None:
    commands = names("physcore.commands")
    known = {*names("physcore.processes")}
    for command, target in re.findall(r"^\s+(?:\$ )?physcore ([a-z]+) ?([\w./-]*)", TEXT, re.MULTILINE):
        assert command in commands, command
        if command in ("simulate", "run") and target and not target.endswith((".yaml", ".yml")) and "/" not in target:
            assert target.lower() in known or target.isupper(), target


def test_make_targets_in_the_readme_exist() -> None:
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake ([a-z]+)\b", TEXT):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
