"""Configuration models: frozen, strict, every field with a unit and a source."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticUndefined


class Config(BaseModel):
    """Base of every configuration model."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _complete_tables(cls, given: Any) -> Any:
        """A table that sets some values of a nested model leaves the others as this model has them by default."""
        if not isinstance(given, dict):
            return given
        defaults = {name: info.default for name, info in cls.model_fields.items()}
        return {name: _completed(defaults.get(name), value) for name, value in given.items()}

    def identity(self) -> dict[str, Any]:
        """The values that can change a result, as JSON types.

        Returns:
            A dictionary without the fields marked `identity=False`.
        """
        return {
            name: _identity_value(getattr(self, name))
            for name in sorted(type(self).model_fields)
            if _is_identity(type(self), name)
        }


def field(
    default: Any = PydanticUndefined,
    *,
    unit: str,
    source: str,
    description: str,
    identity: bool = True,
    **constraints: Any,
) -> Any:
    """Declare a documented configuration field.

    Args:
        default: default value; required when left out.
        unit: physical unit; "" where there is none.
        source: where the value comes from: the paper's section, a document, or "assumed: why".
        description: one line.
        identity: False for what cannot change the result, such as where a folder is.
        constraints: pydantic's own (gt, le, ...).

    Returns:
        A pydantic field.
    """
    extra: dict[str, Any] = {"unit": unit, "source": source, "identity": identity}
    return Field(default, description=description, json_schema_extra=extra, **constraints)


def explain(
    model: type[Config], prefix: str = "", default: Config | None = None
) -> Iterator[tuple[str, str, str, str, str]]:
    """List a model's fields, nested ones included.

    Args:
        model: a configuration class.
        prefix: dotted path before the names.
        default: values of a nested model that differ from its class's own.

    Yields:
        (name, default, unit, source, description), all as text.
    """
    for name, info in model.model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        path = f"{prefix}{name}"
        value = getattr(default, name) if default is not None else info.get_default(call_default_factory=True)
        nested = info.annotation
        if isinstance(nested, type) and issubclass(nested, Config):
            yield from explain(nested, f"{path}.", value if isinstance(value, Config) else None)
            continue
        shown = "required" if info.is_required() and default is None else str(value)
        yield path, shown, str(extra.get("unit", "")), str(extra.get("source", "")), info.description or ""


def _completed(default: Any, given: Any) -> Any:
    if not (isinstance(default, Config) and isinstance(given, dict)):
        return given
    values = {name: getattr(default, name) for name in type(default).model_fields}
    return values | {name: _completed(values.get(name), value) for name, value in given.items()}


def _is_identity(model: type[Config], name: str) -> bool:
    extra = model.model_fields[name].json_schema_extra
    return not (isinstance(extra, dict) and extra.get("identity") is False)


def _identity_value(value: Any) -> Any:
    if isinstance(value, Config):
        return value.identity()
    if isinstance(value, tuple | list):
        return [_identity_value(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _identity_value(item) for key, item in sorted(value.items())}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return value if isinstance(value, str | int | float | bool | None) else str(value)
