"""The commit of the checkout that the package runs from, for the history of a run."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["revision"]

PATIENCE = 10  # seconds, on a file system that is slow


@functools.cache
def revision() -> str:
    """Return the commit, with ``-dirty`` if files differ from it; nothing where there is no checkout or no git."""
    checkout, git = Path(__file__).parents[2], shutil.which("git")
    if git is None or not (checkout / ".git").exists():  # a checkout further up would be somebody else's
        return ""
    command = [git, "-C", str(checkout), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE, env=environment)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
