from .compare import compare as compare
from .compare import evaluate as evaluate
from .comparison import Reversal as Reversal
from .plots.study_error import study_error as study_error
from .quantities.aitchison_summary import aitchison_summary as aitchison_summary
from .quantities.aitchison_summary import centred_log_ratios as centred_log_ratios
from .quantities.diffusion_kernel_stein_discrepancy import (
    diffusion_kernel_stein_discrepancy as diffusion_kernel_stein_discrepancy,
)
from .quantities.energy_distance import energy_distance as energy_distance
from .quantities.entropy import entropy as entropy
from .quantities.entropy_production_rate import entropy_production_rate as entropy_production_rate
from .quantities.fisher_divergence_along_flow import fisher_divergence_along_flow as fisher_divergence_along_flow
from .quantities.fisher_information import fisher_information as fisher_information
from .quantities.kernel_stein_discrepancy import kernel_stein_discrepancy as kernel_stein_discrepancy
from .quantities.log_density_error import log_density_error as log_density_error
from .quantities.path_residual import path_residual as path_residual
from .quantities.permuted_energy_distance import permuted_energy_distance as permuted_energy_distance
from .quantities.probability_current import mean_local_velocity as mean_local_velocity
from .quantities.probability_current import probability_current as probability_current
from .quantities.riemannian_fisher_divergence import riemannian_fisher_divergence as riemannian_fisher_divergence
from .quantities.sliced_wasserstein_distance import sliced_wasserstein_distance as sliced_wasserstein_distance
from .quantities.stationary_stein_discrepancy import stationary_stein_discrepancy as stationary_stein_discrepancy
from .quantities.stein_identities import stein_identities as stein_identities
from .quantities.tail_error import tail_error as tail_error
from .references import Equilibrium as Equilibrium
from .references import Exact as Exact
from .references import FokkerPlanck as FokkerPlanck
from .references import GaussianFit as GaussianFit
from .references import GaussianMixtureFit as GaussianMixtureFit
from .references import KernelDensity as KernelDensity
from .references import KernelScore as KernelScore
from .references import Reference as Reference
from .references import SampledReference as SampledReference
from .references import SpectralStein as SpectralStein
from .references import TransitionMixture as TransitionMixture
from .report import write_report as write_report
