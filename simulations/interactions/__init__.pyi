from .all_pairs import all_pair_forces as all_pair_forces
from .gaussian_repulsion import GaussianRepulsion as GaussianRepulsion
from .harmonic_repulsion import HarmonicRepulsion as HarmonicRepulsion
from .neighbours import neighbour_forces as neighbour_forces
from .pair_force import PairForce as PairForce
from .total import interaction_forces as interaction_forces
