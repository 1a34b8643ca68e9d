"""Configuration models: frozen, strict, every field with a unit and a source."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticUndefined


class Config(BaseModel):
    """Base of every configuration model."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

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


def explain(model: type[Config], prefix: str = "") -> Iterator[tuple[str, str, str, str, str]]:
    """List a model's fields, nested ones included.

    Args:
        model: a configuration class.
        prefix: dotted path before the names.

    Yields:
        (name, default, unit, source, description), all as text.
    """
    for name, info in model.model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        path = f"{prefix}{name}"
        nested = info.annotation
        if isinstance(nested, type) and issubclass(nested, Config):
            yield from explain(nested, f"{path}.")
            continue
        required = info.is_required()
        default = "required" if required else str(info.get_default(call_default_factory=True))
        yield path, default, str(extra.get("unit", "")), str(extra.get("source", "")), info.description or ""


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
