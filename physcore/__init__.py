"""physcore: simulate stochastic processes, learn their scores, compare them with references.

The names below are loaded when first used, so that importing the package is quick.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
