"""Parametrisations of scores, one a file."""

from physcore.score.parametrizations.local import Local, LocalScore
from physcore.score.parametrizations.parametrization import Parametrization

__all__ = ["Local", "LocalScore", "Parametrization"]
