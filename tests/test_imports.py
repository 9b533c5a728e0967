"""The house rule: physcore imports neither simulations nor analysis, and those two never each other."""

import ast
import importlib.util
from pathlib import Path

import pytest

FORBIDDEN = {
    "physcore": {"simulations", "analysis"},
    "simulations": {"analysis"},
    "analysis": {"simulations"},
}


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_stand_on_the_ground_and_not_on_each_other(package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    files = list(Path(spec.submodule_search_locations[0]).rglob("*.py"))
    assert len(files) > 5
    offenders = {str(path): imported(path) & FORBIDDEN[package] for path in files}
    assert not {path: names for path, names in offenders.items() if names}
