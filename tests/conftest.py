"""What every test stands on: one thread, and a home of its own for whatever it writes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from physcore.stopping import StopRequest


def pytest_configure(config: pytest.Config) -> None:
    # torch.func.jvp of torch 2.13 compiles a decomposition with its own deprecated torch.jit.script.
    config.addinivalue_line("filterwarnings", "ignore:.torch.jit.script. is deprecated:DeprecationWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files of few long tests first, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: item.path.parent.name != "mpi" and item.path.name != "test_readme.py")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def _scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(autouse=True)
def _own_folder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _scratch: Path) -> None:
    """Run directories named by default land in the test's own folder, if it has one, and never in the checkout."""
    monkeypatch.chdir(request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else _scratch)


@pytest.fixture(autouse=True)
def _globals_untouched() -> Iterator[None]:
    """The library sets no global: the default dtype and the global random state survive every test."""
    state, dtype = torch.get_rng_state(), torch.get_default_dtype()
    yield
    assert torch.get_default_dtype() is dtype
    assert torch.equal(torch.get_rng_state(), state), "the global random state was used"


class StopAfter(StopRequest):
    """A request to stop that comes after it was asked for a few times."""

    def __init__(self, questions: int) -> None:
        self.left = questions

    @property
    def requested(self) -> bool:  # type: ignore[override]
        self.left -= 1
        return self.left < 0


@pytest.fixture(scope="session")
def stop_after() -> Callable[[int], StopRequest]:
    """Make a request to stop that comes after it was asked for so many times."""
    return StopAfter
