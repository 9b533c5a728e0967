"""The components of a state that a figure has room for."""

from physcore.particles import stored_variables
from physcore.process import Process

__all__ = ["shown_components"]


def shown_components(process: Process, limit: int) -> list[int]:
    """Return the components to show of a state of any dimension.

    Arguments:
        process: The process.
        limit: Most components to show, at least 1.

    Returns:
        Indices of the first components. Of many particles those of whole particles, one after the other, as many as
        there is room for; of one particle too large for it, the first ones.
    """
    stored = stored_variables(process)
    particles = process.dimension // len(stored)
    whole = max(1, min(particles, limit // len(stored)))
    return [item.components.start + particle for particle in range(whole) for item in stored][:limit]
