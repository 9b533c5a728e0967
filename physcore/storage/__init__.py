"""Storage: atomic files, checksums, the manifest and the run directory."""

from physcore.storage.manifest import Manifest
from physcore.storage.netcdf import read_dataset, write_dataset
from physcore.storage.run import RunFolder, open_run

__all__ = ["Manifest", "RunFolder", "open_run", "read_dataset", "write_dataset"]
