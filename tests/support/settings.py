"""Configuration models, with the ones inside them."""

from collections.abc import Iterator
from typing import Any, get_args

from lenscore.config import Config


def models_of(model: type[Config]) -> list[type[Config]]:
    """A model and all that its fields may hold, also inside unions, tuples and dictionaries."""
    found = [model]
    for info in model.model_fields.values():
        found += [item for inner in _inner(info.annotation) for item in models_of(inner) if item not in found]
    return list(dict.fromkeys(found))


def _inner(annotation: Any) -> Iterator[type[Config]]:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        yield annotation
    for part in get_args(annotation):
        yield from _inner(part)
