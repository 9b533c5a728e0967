"""Pair interactions, written once and evaluated over all pairs or over neighbours."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
