"""Augmented views for pretraining, and the distributions that they are drawn from.

Names are looked up when they are used: configurations need no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lenscore.augment.augmenter import Augmenter
    from lenscore.augment.config import AugmentConfig
    from lenscore.augment.fits import Fits, Lognormal
    from lenscore.augment.properties import Properties

__all__ = ["AugmentConfig", "Augmenter", "Fits", "Lognormal", "Properties"]

_HOMES = {
    "AugmentConfig": "config",
    "Augmenter": "augmenter",
    "Fits": "fits",
    "Lognormal": "fits",
    "Properties": "properties",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
