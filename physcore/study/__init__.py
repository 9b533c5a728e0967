"""Studies: many runs over a grid of settings, shared between ranks and joined in one Dataset."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
