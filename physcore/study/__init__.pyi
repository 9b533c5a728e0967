from .axes import Axis as Axis
from .folder import StudyFolder as StudyFolder
from .folder import open_study as open_study
from .grid import Cell as Cell
from .grid import Grid as Grid
from .joining import joined_study as joined_study
from .study import Study as Study
