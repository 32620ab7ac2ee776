"""One walk through an output: what JSON has stays, files are stored, the rest becomes JSON or is refused with its place."""

import asyncio
from collections import UserString, deque
from collections.abc import Callable, Iterator, Mapping, MappingView, Sequence, Set
from enum import Enum
from itertools import count
from pathlib import PurePath
from typing import Any, Final, cast

from pydantic import BaseModel

from ..contract.deep_json import MAX_DEPTH
from ..errors import OutputError, TrussAsyncError
from .declared_fields import DeclaredFields, has_declared_fields, own_words
from .file_parts import FilePart, file_part
from .numpy_values import numpy_value
from .places import Place, UnfitPartError, in_words, spoken
from .plain_values import NATIVE, NOTHING, PLAIN, as_base_type, checked, texts_of, written

MAX_ITEMS: Final = 10_000_000
"""Of an iterator, which might never end."""

_ITEMS: Final = (Sequence, Set, MappingView, Iterator, deque)
_TEXT: Final = frozenset({str})
_SENDABLE_KEYS: Final = (str, int, float, type(None))


class _Frame:
    """A container that is being walked: what is left of it, and what has come of it so far."""

    __slots__ = ("finish", "into", "items", "key", "source")

    def __init__(
        self,
        source: Any,
        items: Iterator[tuple[Any, Any]],
        into: Any,
        finish: Callable[[Any], Any] | None = None,
    ) -> None:
        self.source = source
        self.items = items
        self.into = into
        self.finish = finish
        self.key: Any = None

    def put(self, value: Any) -> None:
        if type(self.into) is dict:
            self.into[self.key] = value
        else:
            self.into.append(value)


class OutputWalk:
    """Walks one output, at any depth up to a limit, without recursion.

    What ``walked`` returns holds dicts with texts for keys, lists, texts, numbers, and what msgpack has beyond that
    (moments, arrays of numbers). Whatever an object of the user raises is an OutputError that names its place.
    """

    def __init__(self, store: Callable[[FilePart, Place], Any], *, is_careful: bool = False) -> None:
        """``store`` gives what stands in a file's place. A careful walk looks into texts and numbers, too."""
        self._store = store
        self._plain = NOTHING if is_careful else PLAIN
        self._is_careful = is_careful
        self._frames: list[_Frame] = []
        self._open: set[int] = set()
        self._found = 0
        self.is_changed = False
        """Whether the output is to be replaced: it holds files, or what can be read once only, or no msgpack."""
        self.is_sendable = True
        """Whether the Truss server could send the output as JSON, if it is not changed."""

    def walked(self, output: Any) -> Any:
        """The output with what ``store`` gives in the place of its files."""
        try:
            return self._walk(output)
        except UnfitPartError as error:
            raise OutputError(f"{spoken(self._place())} {error}") from error.__cause__
        except (TrussAsyncError, KeyboardInterrupt, asyncio.CancelledError):
            raise
        except BaseException as error:
            raise OutputError(f"{spoken(self._place())} cannot be read: {in_words(error)}") from error
        finally:
            self._frames.clear()

    def _walk(self, output: Any) -> Any:
        self._frames = [_Frame(None, iter([(None, output)]), [])]
        while True:
            frame = self._frames[-1]
            for key, each in frame.items:
                frame.key = key
                value = each if type(each) in self._plain else self._entered(each)
                if type(value) is _Frame:
                    self._open_frame(value)
                    break
                frame.put(value)
                frame.key = None  # what the next one raises is not this one's fault
            else:
                value = frame.into if frame.finish is None else frame.finish(frame.into)
                self._frames.pop()
                self._open.discard(id(frame.source))
                if not self._frames:
                    return value[0]
                self._frames[-1].put(value)
                self._frames[-1].key = None

    def _open_frame(self, frame: _Frame) -> None:
        if id(frame.source) in self._open:
            raise UnfitPartError("contains itself, which JSON cannot express")
        if len(self._frames) > MAX_DEPTH:
            raise UnfitPartError(f"is nested deeper than {MAX_DEPTH:,} levels, the maximum; flatten it")
        self._open.add(id(frame.source))
        self._frames.append(frame)

    def _place(self) -> list[str | int]:
        return [frame.key for frame in self._frames if frame.key is not None]

    def _entered(self, value: Any) -> Any:
        """What stands in the value's place; or it is a container, to be walked."""
        if isinstance(value, dict):
            return self._dict(value)
        if isinstance(value, list | tuple):
            return self._list(value)
        if value is None or isinstance(value, str | int | float):
            return self._single(value)
        if (part := file_part(value)) is not None:
            return self._stored(part)
        if (number := numpy_value(value)) is not None:
            return self._numbers(number.value, is_sendable=number.is_sendable)
        if type(value) in NATIVE:
            self.is_sendable = False
            said = written(value)
            return said if self._is_careful else value
        if has_declared_fields(value):
            return self._declared(value)
        self._change()
        return self._other(value)

    def _other(self, value: Any) -> Any:
        """A value that neither the Truss server nor msgpack could send."""
        if isinstance(value, UserString | PurePath):
            return self._single(str(value))
        if isinstance(value, Mapping):
            return self._dict(value)
        if isinstance(value, _ITEMS):
            return _Frame(value, self._counted(value), [])
        if isinstance(value, Enum):
            return _Frame(value, iter([(None, value.value)]), [], finish=_first)
        if hasattr(type(value), "tolist"):
            return _Frame(value, iter([(None, value.tolist())]), [], finish=_first)
        return written(value)

    def _single(self, value: Any) -> Any:
        return checked(as_base_type(value) if type(value) not in PLAIN else value)

    def _dict(self, values: Mapping[Any, Any]) -> Any:
        keys = list(values)
        if type(values) is dict and _TEXT.issuperset(map(type, keys)):
            if self._plain.issuperset(map(type, values.values())):
                return values
            if not self._is_careful:
                return _Frame(values, iter(values.items()), {})
        if not all(isinstance(key, _SENDABLE_KEYS) for key in keys):
            self._change()
        members = zip(texts_of(keys), keys, strict=True)
        return _Frame(values, ((text, values[key]) for text, key in members), {})

    def _list(self, values: Sequence[Any]) -> Any:
        if self._plain.issuperset(map(type, values)):
            return values
        return _Frame(values, enumerate(values), [])

    def _counted(self, values: Any) -> Iterator[tuple[int, Any]]:
        if isinstance(values, Iterator):
            self._found += 1  # it can be read once only
        for index, each in zip(count(), values):
            if index == MAX_ITEMS:
                raise UnfitPartError(f"has more than {MAX_ITEMS:,} values, and may have no end")
            yield index, each

    def _numbers(self, value: Any, *, is_sendable: bool) -> Any:
        self.is_sendable = self.is_sendable and is_sendable
        if self._is_careful and hasattr(value, "tolist"):
            value = value.tolist()
        if isinstance(value, list | tuple):
            return _Frame(value, enumerate(value), [])
        return value

    def _stored(self, part: FilePart) -> Any:
        self._found += 1
        self.is_changed = True
        try:
            return self._store(part, self._place())
        finally:
            part.close()

    def _change(self) -> None:
        self.is_changed, self.is_sendable = True, False

    def _declared(self, value: Any) -> Any:
        is_whole_output = len(self._frames) == 1
        said = own_words(value) if isinstance(value, BaseModel) else None
        if said is not None and is_whole_output:
            return said
        self._change()
        if said is not None:
            return said
        fields = DeclaredFields(value, lambda: self._found)

        def finish(values: dict[str | None, Any]) -> Any:
            whole = fields.whole(values)
            if is_whole_output and fields.writes_itself:
                # The server lets a model that is the whole output write itself.
                self.is_changed, self.is_sendable = False, True
            return whole

        return _Frame(value, cast("Iterator[tuple[Any, Any]]", fields.items()), {}, finish)


def _first(values: list[Any]) -> Any:
    return values[0]
