"""Numerics of a density on a rectangular grid in one, two or three dimensions: the parts of ``FokkerPlanck``."""
