"""Pydantic models and dataclasses in an output: by their own rules, but for the fields that hold files."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final, cast

from pydantic import BaseModel, PlainSerializer, RootModel, WrapSerializer
from pydantic_core import PydanticSerializationError, to_json

from ..contract.json_text import parse
from .numpy_values import numpy_value
from .plain_values import NATIVE, PLAIN

_HARMLESS: Final = PLAIN | NATIVE
_COLLECTIONS: Final = (list, tuple, set, frozenset)
_JSON_ONLY: Final = ("json", "json-unless-none")


def own_words(model: Any) -> Any:
    """A model in JSON by its own rules, as the Truss server sends it; None where our own are needed.

    They are where it may hold files or what can be read once only, or cannot write itself.
    """
    waiting, seen = [model], set()
    while waiting:
        each = waiting.pop()
        items = _simple_items(each)
        if items is None:
            return None
        if not _HARMLESS.issuperset(map(type, items)) and id(each) not in seen:
            seen.add(id(each))
            waiting += (inner for inner in items if type(inner) not in _HARMLESS)
    try:
        return parse(model.model_dump_json().encode())
    except (PydanticSerializationError, UnicodeEncodeError):
        return None


def _simple_items(value: Any) -> Collection[Any] | None:
    """What is in a container; None for what is none, or a model with rules of its own."""
    if isinstance(value, dict):
        return value.values()
    if type(value) in _COLLECTIONS:
        return cast("Collection[Any]", value)
    if isinstance(value, BaseModel) and _is_simple(type(value)):
        return [*value.__dict__.values(), *(value.__pydantic_extra__ or {}).values()]
    return None


@functools.cache
def _is_simple(model_type: type[BaseModel]) -> bool:
    decorators = model_type.__pydantic_decorators__
    return not (
        model_type.model_computed_fields
        or decorators.field_serializers
        or decorators.model_serializers
        or any(field.metadata for field in model_type.model_fields.values())
    )


class DeclaredFields:
    """The fields of one object, to be looked into in order, and then the whole again.

    ``found`` counts what has been found so far that the object's own rules would not do justice to: files, iterators.
    """

    def __init__(self, source: Any, found: Callable[[], int]) -> None:
        self._source = source
        self._found = found
        self._begun_at = found()
        self._ours: set[str | None] = set()
        self.writes_itself = False

    def items(self) -> Iterator[tuple[str | None, Any]]:
        """Each field, under its name, with what stands in it; or the one thing that the object says it is."""
        for name, value in _fields(self._source):
            before = self._found()
            yield name, value
            if self._found() > before:
                self._ours.add(name)

    def whole(self, values: dict[str | None, Any]) -> Any:
        """The object in JSON, with these values in the place of its fields."""
        if self._found() == self._begun_at:
            for in_its_own_words in (self._by_itself, self._with_numbers):
                try:
                    return in_its_own_words()
                except (PydanticSerializationError, UnicodeEncodeError):
                    pass  # it cannot
        if None in values:
            return values[None]
        if not isinstance(self._source, BaseModel):
            return values
        return {key: each for name in values for key, each in self._presented(name, values[name])}

    def _by_itself(self) -> Any:
        """As the Truss server sends a model that is the whole output."""
        if not isinstance(self._source, BaseModel):
            raise PydanticSerializationError("it is no model")
        body = self._source.model_dump_json()
        self.writes_itself = True
        return parse(body.encode())

    def _with_numbers(self) -> Any:
        """The same of a dataclass of pydantic, and of a model that holds what numpy has made."""
        if not hasattr(type(self._source), "__pydantic_serializer__"):
            raise PydanticSerializationError("a dataclass of Python has no rules of its own")
        return parse(to_json(self._source, by_alias=False, fallback=_number_of))

    def _presented(self, name: str | None, value: Any) -> Iterator[tuple[str, Any]]:
        """One field under its name in JSON; none if it does not appear there."""
        if name not in self._ours:
            try:
                yield from self._source.model_dump(mode="json", include={name}, warnings=False).items()
                return
            except (PydanticSerializationError, UnicodeEncodeError):
                pass  # what is in the field has no JSON of its own
        for key in self._source.model_dump(include={name}, warnings=False):
            yield key, value


def has_declared_fields(value: object) -> bool:
    """Whether it is a pydantic model, or an instance of a dataclass."""
    return isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and not isinstance(value, type))


def _fields(source: Any) -> Iterator[tuple[str | None, Any]]:
    if not isinstance(source, BaseModel):
        for each in dataclasses.fields(source):
            yield each.name, getattr(source, each.name)
        return
    model_type = type(source)
    if isinstance(source, RootModel):
        yield None, source.root
        return
    decorators = model_type.__pydantic_decorators__
    for serializer in decorators.model_serializers.values():
        mode = "json" if serializer.info.when_used in _JSON_ONLY else "python"
        yield None, source.model_dump(mode=mode, warnings=False)
        return
    for name, field in model_type.model_fields.items():
        if field.exclude:
            continue
        dumped_in = _mode_of_serializer(decorators.field_serializers.values(), name, field.metadata)
        if dumped_in is None:
            yield name, getattr(source, name)
        else:
            yield from ((name, each) for each in _dumped(source, name, dumped_in))
    for name in model_type.model_computed_fields:
        yield name, getattr(source, name)
    yield from (source.__pydantic_extra__ or {}).items()


def _mode_of_serializer(decorators: Any, name: str, metadata: list[Any]) -> str | None:
    """How to ask for what the author of the class has written for the field; None where nobody has."""
    used: list[str] = [
        each.info.when_used for each in decorators if {name, "*"}.intersection(each.info.fields)
    ]
    used += [each.when_used for each in metadata if isinstance(each, PlainSerializer | WrapSerializer)]
    if not used:
        return None
    return "json" if set(used).issubset(_JSON_ONLY) else "python"


def _dumped(source: BaseModel, name: str, mode: str) -> list[Any]:
    return list(source.model_dump(mode=mode, include={name}, warnings=False).values())


def _number_of(value: Any) -> Any:
    found = numpy_value(value)
    if found is None:
        raise TypeError(f"{type(value).__name__} has no form in JSON")
    return found.value if found.value is not value else value.tolist()
