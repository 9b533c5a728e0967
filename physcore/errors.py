"""The few errors that a caller may want to catch, each under a built-in, each with its exit code.

Bad input raises the built-in ``ValueError`` or ``TypeError``; the classes below are for what goes wrong
with files, numbers and other runs. On the command line each ends in one line and its own exit code.
"""


class DataFileError(ValueError):
    """A data file is missing, damaged, or not what it should be."""

    exit_code = 3


class NumericalError(ArithmeticError):
    """A computation left the finite numbers or did not converge; the message says where."""

    exit_code = 4


class StorageError(OSError):
    """Writing failed: disk full, permission, or a path that cannot be used."""

    exit_code = 5


class RunLockedError(OSError):
    """Another process holds the run directory."""

    exit_code = 6


class Stopped(RuntimeError):
    """The run was asked to stop, has saved its state, and continues when started again."""

    exit_code = 75


class CellsFailed(RuntimeError):
    """Some cells of a study failed; the results of the others are there.

    Arguments:
        message: Which failed, and why.
        code: Exit code of the first failure.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code


USAGE_EXIT_CODE = 2
BUG_EXIT_CODE = 1


def exit_code(error: BaseException) -> int:
    """Return the exit code that the command line gives an error.

    Arguments:
        error: The error that ended a command.

    Returns:
        The class's own code, 2 for bad input (``ValueError``, ``TypeError``, ``NotImplementedError``), 5 for
        a failing file system, 1 for anything else.
    """
    own = getattr(error, "exit_code", None)
    if isinstance(own, int):
        return own
    if isinstance(error, ValueError | TypeError | NotImplementedError):
        return USAGE_EXIT_CODE
    if isinstance(error, OSError):
        return StorageError.exit_code
    return BUG_EXIT_CODE
