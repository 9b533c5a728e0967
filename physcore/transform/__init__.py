"""Changes of variables: smooth invertible maps, scores and processes seen through them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
