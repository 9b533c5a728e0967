"""Reversing a process by its score: the reverse-time process and the probability flow."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
