"""A small run to report on, and a headless Chromium to look at its page, spoken to over a pipe: no port, no driver."""

import dataclasses
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from physcore.command import main

CONFIGURATION = """
process: ornstein-uhlenbeck
parameters: {drift_matrix: [[-1.0, -1.0], [1.0, -1.0]]}
seed: 3
simulate: {paths: 1024, duration: 1.0, dt: 0.05, save_every: 2}
fit: {objective: {name: local-denoising, lag: 0.2}, training: {steps: 4, batch: 8, validate_every: 2}}
compare: {references: [{name: exact}], times: [0.5, 1.0], paths: 200}
"""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # the tests of a container run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--no-first-run",
    "--mute-audio",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # a page that asks for a host finds none
    "--remote-debugging-pipe",
)
PATIENCE = 240.0  # seconds, for a machine that is busy with other things


@dataclasses.dataclass
class Browser:
    """A browser with one page.

    Arguments:
        commands: Descriptor that commands are written to.
        answers: Descriptor that answers and events are read from.
    """

    commands: int
    answers: int
    session: str = ""
    sent: int = 0
    unread: bytes = b""
    events: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come meanwhile are kept."""
        self.sent += 1
        message: dict[str, Any] = {"id": self.sent, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.sent:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self.unread:
            ready = select.select([self.answers], [], [], max(0.0, end - time.monotonic()))[0]
            assert ready, "the browser does not answer"
            part = os.read(self.answers, 1 << 20)
            assert part, "the browser has ended"
            self.unread += part
        message, _, self.unread = self.unread.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def wait_for(self, event: str) -> None:
        """Wait until an event has come."""
        while not any(seen.get("method") == event for seen in self.events):
            self.events.append(self._next())

    def begin(self) -> None:
        """Open an empty page and listen to what it does."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(f"{domain}.enable")

    def open(self, path: Path, width: int = 1280, scheme: str = "light", media: str = "screen") -> None:
        """Open a file in a window of some width and wait until it and its pictures are there."""
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.call("Page.navigate", url=path.absolute().as_uri())
        self.wait_for("Page.loadEventFired")

    def value(self, expression: str) -> Any:
        """Return what an expression of JavaScript is in the page, a promise's result where it is one."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    @property
    def requested(self) -> list[str]:
        """Addresses that the page has asked for."""
        sent = (event for event in self.events if event.get("method") == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent]

    @property
    def complaints(self) -> list[dict[str, Any]]:
        """Errors and whatever else went to the console."""
        kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [event for event in self.events if event.get("method") in kinds]


def launched(program: str, profile: Path) -> tuple[subprocess.Popen[bytes], Browser]:
    """Start a browser that reads commands from descriptor 3 and answers on descriptor 4."""
    # Far from 3 and 4, to which the shell moves its ends.
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for pipe in (os.pipe(), os.pipe()) for end in _and_close(pipe)]
    their_commands, commands, answers, their_answers = ends
    script = f'exec 3<&{their_commands} 4>&{their_answers} && exec "$@"'
    process = subprocess.Popen(
        ["/bin/bash", "-c", script, "bash", program, *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(their_commands, their_answers),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(their_commands)
    os.close(their_answers)
    return process, Browser(commands, answers)


def works(program: str) -> bool:
    """Return whether a program is whole enough to say its version."""
    return subprocess.run([program, "--version"], capture_output=True, timeout=PATIENCE, check=False).returncode == 0


def _and_close(pipe: tuple[int, int]) -> Iterator[int]:
    """Yield the ends of a pipe, each closed afterwards."""
    for end in pipe:
        yield end
        os.close(end)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all stages and its page, to look at and not to change."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "run.yaml").write_text(CONFIGURATION)
    assert main(["run", str(folder / "run.yaml"), "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of that run, without its page."""
    copied = shutil.copytree(finished, tmp_path / "run", symlinks=True)
    (copied / "report.html").unlink()
    return copied


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium."""
    program = next((found for found in map(shutil.which, BROWSERS) if found and works(found)), None)
    if program is None:
        pytest.skip(f"no browser is installed: {', '.join(BROWSERS)}")
    process, found = launched(program, tmp_path_factory.mktemp("profile"))
    try:
        found.begin()
        yield found
    finally:
        os.close(found.commands)  # the browser ends when its pipe does
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
        os.close(found.answers)
