"""Numerics of a density on a rectangular grid in one or two dimensions: the parts of ``FokkerPlanck``."""
