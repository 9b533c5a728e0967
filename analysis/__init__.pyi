from .compare import compare as compare
from .references import Exact as Exact
from .references import FokkerPlanck as FokkerPlanck
from .references import Reference as Reference
