from .exact import Exact as Exact
from .fokker_planck import FokkerPlanck as FokkerPlanck
from .reference import Reference as Reference
