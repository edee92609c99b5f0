"""Bad configuration as one clear error, which names the field and the choices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, get_args

from pydantic import BaseModel, ValidationError

from beamlens.errors import ClientConfigError

M = TypeVar("M", bound=BaseModel)

_SHAPES = {"model_type": "must be a mapping", "dict_type": "must be a mapping", "list_type": "must be a list"}


def refused(field: str, text: str) -> ClientConfigError:
    """The error to raise for a field."""
    return ClientConfigError(f"{field}: {text}", field=field)


def validate(model: type[M], value: object, field: str) -> M:
    """The value as that model.

    Raises:
        ClientConfigError: It is not; names the first wrong field and those that there are.
    """
    try:
        return model.model_validate(value)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        path = field + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        fields = ", ".join(_fields_at(model, first["loc"]))
        text = {
            "extra_forbidden": f"there is no such field; the fields are: {fields}",
            "missing": f"is missing; the fields are: {fields}",
            **_SHAPES,
        }.get(first["type"], first["msg"].removeprefix("Value error, "))
    raise refused(path, text)


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> Iterable[str]:
    """The fields beside the one at a path."""
    for part in path[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return model.model_fields


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model that a field's type is made of: ``list[Model]``, ``Model | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _model_in(argument))), None)
