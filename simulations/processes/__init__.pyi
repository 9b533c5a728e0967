from .active_swimmer import ActiveSwimmer as ActiveSwimmer
from .double_well import DoubleWell as DoubleWell
from .ornstein_uhlenbeck import OrnsteinUhlenbeck as OrnsteinUhlenbeck
