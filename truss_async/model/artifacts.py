"""The file-like parts of an output: found, stored beside it, and replaced by references."""

import dataclasses
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

from pydantic import BaseModel

from ..contract import ArtifactReference
from ..stores import safe_artifact_name
from .file_parts import FilePart, Place, extension_of, file_part
from .output_json import is_sendable_key, is_sendable_model, is_sendable_value, plain_json

_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


class ArtifactWriter:
    """Stores the artifacts of one output; each gets a name of its own.

    ``is_sendable`` tells whether the Truss server could send, as JSON, what ``replace`` has returned.
    """

    def __init__(self, store: Callable[[str, FilePart], ArtifactReference]) -> None:
        self._store = store
        self._taken: set[str] = set()
        self.is_sendable = True

    def replace(self, value: Any, place: Place = ()) -> Any:
        """The value with references in the place of its artifacts; the very same object if it holds none."""
        if type(value) in _PLAIN:
            return value
        if isinstance(value, dict):
            return self._replace_values(value, value, place)
        if isinstance(value, list | tuple):
            return self._replace_items(value, place)
        if (part := file_part(value, place)) is not None:
            with closing(part):
                return self._store(_artifact_name(part, place, self._taken), part).model_dump()
        if isinstance(value, BaseModel):
            return self._replace_fields(value, value.model_dump(), place)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
            return self._replace_fields(value, fields, place)
        self.is_sendable = self.is_sendable and is_sendable_value(value)
        return value

    def _replace_values(self, original: Any, values: dict[Any, Any], place: Place) -> Any:
        if not _PLAIN.issuperset(map(type, values)):
            self.is_sendable = self.is_sendable and all(map(is_sendable_key, values))
        if None in values:  # JSON has texts for keys; this one is what the Truss server makes of it
            values = original = {"null" if key is None else key: each for key, each in values.items()}
        if _PLAIN.issuperset(map(type, values.values())):
            return original
        replaced = {key: self.replace(each, (*place, str(key))) for key, each in values.items()}
        changed = any(replaced[key] is not each for key, each in values.items())
        return replaced if changed else original

    def _replace_items(self, items: list[Any] | tuple[Any, ...], place: Place) -> Any:
        if _PLAIN.issuperset(map(type, items)):
            return items
        replaced = [self.replace(each, (*place, str(index))) for index, each in enumerate(items)]
        if all(new is old for new, old in zip(replaced, items, strict=True)):
            return items
        return replaced if isinstance(items, list) else tuple(replaced)

    def _replace_fields(self, original: Any, fields: Any, place: Place) -> Any:
        # The Truss server knows how to send a pydantic model, but not every value that may stand in a field of one:
        # once taken apart, it is JSON all through.
        so_far = self.is_sendable
        replaced = self.replace(fields, place)
        if replaced is not fields:
            self.is_sendable = so_far
            return plain_json(replaced)
        self.is_sendable = not place and is_sendable_model(original)
        return original


def _artifact_name(part: FilePart, place: Place, taken: set[str]) -> str:
    if part.name is not None:
        return safe_artifact_name(part.name, taken)
    name, extension = "-".join(place) or "output", extension_of(part.content_type)
    return safe_artifact_name(name if name.endswith(extension) else name + extension, taken)
