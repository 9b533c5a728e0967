from .anharmonic import AnharmonicPotential as AnharmonicPotential
from .cosine import CosinePotential as CosinePotential
from .double_well import DoubleWellPotential as DoubleWellPotential
from .harmonic import HarmonicPotential as HarmonicPotential
from .mexican_hat import MexicanHatPotential as MexicanHatPotential
from .mueller_brown import MuellerBrownPotential as MuellerBrownPotential
from .potential import Potential as Potential
