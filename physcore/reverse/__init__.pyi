from .probability_flow import ProbabilityFlow as ProbabilityFlow
from .reversed_process import ReversedProcess as ReversedProcess
from .reversed_process import in_forward_time as in_forward_time
