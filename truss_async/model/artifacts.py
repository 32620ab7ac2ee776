"""The file-like parts of an output: found, stored beside it, and replaced by references."""

import dataclasses
import io
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from ..contract import ArtifactReference
from ..errors import OutputError
from ..stores import safe_artifact_name
from .content_types import content_type_of_bytes, content_type_of_name, extension_of
from .file_parts import FilePart, open_file_part
from .result_json import plain_json
from .sendable import is_sendable_key, is_sendable_model, is_sendable_value

_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_PNG_MODES: Final = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})
_TIFF_MODES: Final = frozenset({"I", "F", "LAB"})  # a PNG would not hold all that is in them

Place = tuple[str, ...]


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
        if (part := _file_part(value, place)) is not None:
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


def _file_part(value: Any, place: Place) -> FilePart | None:
    if isinstance(value, FilePart):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        return FilePart(data, content_type_of_bytes(data))
    if isinstance(value, Path):
        return _path_part(value, place)
    pillow = sys.modules.get("PIL.Image")  # whoever made an image has imported it
    if pillow is not None and isinstance(value, pillow.Image):
        return _image_part(value)
    if all(hasattr(value, each) for each in ("read", "seek", "closed")):
        found = open_file_part(value)
        return _path_part(found, place) if isinstance(found, Path) else found
    return None


def _path_part(path: Path, place: Place) -> FilePart:
    if not path.is_file():
        what = "a folder" if path.is_dir() else "missing"
        raise OutputError(
            f"{_spoken(place)} is the path {path}, which is {what}: return the path of a file, or its text"
        )
    return FilePart(path, content_type_of_name(path.name), path.name)


def _image_part(image: Any) -> FilePart:
    file_format = "TIFF" if image.mode in _TIFF_MODES else "PNG"
    as_is = image.mode in _PNG_MODES | _TIFF_MODES
    buffer = io.BytesIO()
    (image if as_is else image.convert("RGB")).save(buffer, format=file_format)
    return FilePart(buffer.getvalue(), f"image/{file_format.lower()}")


def _artifact_name(part: FilePart, place: Place, taken: set[str]) -> str:
    if part.name is not None:
        return safe_artifact_name(part.name, taken)
    name, extension = "-".join(place) or "output", extension_of(part.content_type)
    return safe_artifact_name(name if name.endswith(extension) else name + extension, taken)


def _spoken(place: Place) -> str:
    return f"the output's part {'.'.join(place)}" if place else "the output"
