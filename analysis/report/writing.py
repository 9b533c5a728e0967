"""Writing the page of a run: whole or not at all, and never over what is no page of that run."""

from pathlib import Path

from analysis.report.destination import REPORT_NAME, check_replaceable, check_report_name
from analysis.report.page import report_page
from physcore.storage.publishing import publish_text
from physcore.storage.run import RunFolder

__all__ = ["write_report"]


def write_report(run: str | Path, file: str = REPORT_NAME) -> Path:
    """Write the page of a run: figures, tables, configuration and provenance in one file that needs no other.

    A page that would be the same is left as it is.

    Arguments:
        run: A run directory, finished or not.
        file: Name of the page, in the run directory.

    Returns:
        The path of the page.

    Raises:
        DataFileError: If it is no run, or one of its files is damaged.
        ValueError: If the name is not one of a page, or something that is no page of this run has it.
        StorageError: If writing fails; what stood there is unharmed.
    """
    check_report_name(file)
    folder = RunFolder(Path(run))
    path = folder.path / file
    check_replaceable(path, folder.manifest)
    page = report_page(folder)
    if not path.exists() or path.read_bytes() != page.encode():
        publish_text(path, page)
    return path
