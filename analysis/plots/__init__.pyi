from .entropy_production import plot_entropy_production as plot_entropy_production
from .error_against_time import plot_error_against_time as plot_error_against_time
from .loss_history import plot_loss_history as plot_loss_history
from .probability_current import plot_probability_current as plot_probability_current
from .run import draw_run as draw_run
from .score_fields import plot_score_fields as plot_score_fields
from .tail_error import plot_tail_error as plot_tail_error
from .trajectories import plot_trajectories as plot_trajectories
