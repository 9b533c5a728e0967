"""Compiling C with the system's compiler, once for each source and processor."""

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["CompilerMissing", "compiled"]

X86 = platform.machine() in ("x86_64", "AMD64")
FLAGS = (
    *("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared", "-std=gnu11", "-w"),
    # gcc joins sine and cosine of one argument into a call that it cannot gather over lanes.
    *("-fno-builtin-sin", "-fno-builtin-cos", "-fno-builtin-sinf", "-fno-builtin-cosf"),
    *(("-mprefer-vector-width=512",) if X86 else ()),
)
CACHE_VARIABLE = "PHYSCORE_CACHE"


class CompilerMissing(RuntimeError):
    """There is no working C compiler."""


@functools.cache
def compiled(source: str) -> ctypes.CDLL:
    """Return the library that a C source compiles to, from the cache on disk where it is there.

    The cache lies in ``$PHYSCORE_CACHE``, else in ``physcore`` under ``$XDG_CACHE_HOME`` or ``~/.cache``. Its files
    are named by source, compiler, flags and processor, so that one home serves different machines.

    Arguments:
        source: C source.

    Raises:
        CompilerMissing: If there is no compiler, or it fails.
    """
    compiler = _compiler()
    if compiler is None:
        raise CompilerMissing("no C compiler: none of $CC, cc, gcc and clang is there")
    digest = hashlib.sha256("\0".join([source, *compiler, *FLAGS, _processor()]).encode()).hexdigest()[:32]
    for folder in (_cache(), Path(tempfile.gettempdir()) / f"physcore-{os.getuid()}"):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if folder.stat().st_uid != os.getuid():
                continue  # somebody else's folder may hold somebody else's code
            library = folder / f"{digest}.so"
            if not library.exists():
                _compile(compiler, source, library)
            return ctypes.CDLL(str(library))
        except OSError:
            continue
    raise CompilerMissing(f"no folder for compiled kernels can be written; set ${CACHE_VARIABLE}")


def _compile(compiler: list[str], source: str, library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as work:
        text, made = Path(work) / "kernel.c", Path(work) / "kernel.so"
        text.write_text(source)
        command = [*compiler, *FLAGS, str(text), "-o", str(made), "-lm"]
        try:
            run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CompilerMissing(f"the compiler {compiler[0]} cannot be run: {error}") from error
        if run.returncode:
            raise CompilerMissing(f"{shlex.join(command)} failed: {run.stderr.strip()[-500:]}")
        made.replace(library)


def _cache() -> Path:
    if CACHE_VARIABLE in os.environ:
        return Path(os.environ[CACHE_VARIABLE])
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "physcore"


def _compiler() -> list[str] | None:
    """Return the command of the compiler, the user's ``$CC`` first."""
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        words = shlex.split(name)
        if words and shutil.which(words[0]):
            return words
    return None


@functools.cache
def _processor() -> str:
    """Return what the code compiled for this processor depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        about = [line for line in lines if line.startswith(("flags", "model name", "Features", "CPU part"))]
        return platform.machine() + "\n".join(sorted(set(about)))
    except OSError:
        return platform.machine() + platform.processor() + sys.platform
