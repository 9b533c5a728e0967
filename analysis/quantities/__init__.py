"""Quantities: what a score says about a process, each with its standard error, over blocks of paths and ranks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
