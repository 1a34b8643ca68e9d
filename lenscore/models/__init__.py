"""Encoders, and how they learn without labels. Names are looked up when they are used: configurations need no torch."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lenscore.models.encoder import Encoder, NetworkEncoder, PcaEncoder, embed_views, load_encoder, save_encoder

__all__ = ["Encoder", "NetworkEncoder", "PcaEncoder", "embed_views", "load_encoder", "save_encoder"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lenscore.models import encoder

    return getattr(encoder, name)
