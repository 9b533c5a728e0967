"""Densities learned from samples by score matching: deep kernels with coefficients in closed form."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
