from .integrators import EulerMaruyama as EulerMaruyama
from .integrators import Scheme as Scheme
from .processes import ActiveSwimmer as ActiveSwimmer
from .processes import DoubleWell as DoubleWell
from .processes import OrnsteinUhlenbeck as OrnsteinUhlenbeck
from .simulate import simulate as simulate
from .simulation import Simulation as Simulation
