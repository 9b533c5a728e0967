"""A run as one page for a browser: what was simulated, learned and compared, and where it comes from."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
