"""JSON of any depth up to one limit, read and written without recursion: for what pydantic refuses for its depth."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from pydantic_core import to_json

MAX_DEPTH: Final = 10_000
"""Objects and lists inside of each other, in a model input or output. Python holds such a value without harm; one of
100,000 levels ends the process in places."""

HALF: Final = "half a character, such as \\ud83d alone, is no text; send both halves, or \\ufffd"

_TOO_DEEP: Final = f"nested deeper than {MAX_DEPTH:,} levels, which are the most: flatten it"
_CONTAINERS: Final = (dict, list, tuple)
_SPACE: Final = re.compile(r"[ \t\n\r]*")
# A pair of halves, a half, or any other escape, of which the first two characters are found.
_ESCAPE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?|u[dD][c-fC-F][0-9a-fA-F]{2}|.)",
    re.DOTALL,
)
_LENGTH_OF_HALF: Final = len("\\ud83d")
_WINDOW: Final = 512  # characters that C may look at in vain


def without_halves(text: str) -> str:
    """The JSON text with U+FFFD for half a character."""
    return _ESCAPE.sub(lambda found: "\\ufffd" if len(found[0]) == _LENGTH_OF_HALF else found[0], text)


class DeepReader:
    """Reads JSON without recursion. What is shallow and small, C reads; it is tried for as long as that pays."""

    def __init__(self, text: str, *, allow_inf_nan: bool = True, max_depth: int) -> None:
        self._text = text
        self._max_depth = max_depth
        self._scan = json.JSONDecoder(parse_constant=None if allow_inf_nan else _refuse_constant).raw_decode
        self._looked_at_in_vain = 0

    def value(self) -> Any:
        """The value that is the whole text.

        Raises:
            ValueError: it is no JSON, or nested too deeply.
        """
        for found in _ESCAPE.finditer(self._text):
            if len(found[0]) == _LENGTH_OF_HALF:
                raise json.JSONDecodeError(HALF, self._text, found.start())
        value, end = self._read(self._skip(0))
        if (end := self._skip(end)) != len(self._text):
            raise json.JSONDecodeError("Extra data", self._text, end)
        return value

    def place_of_member(self, name: str) -> tuple[int, int]:
        """Where, in bytes, the value of the last member with the name begins and ends in the object that is the text."""
        start = end = 0
        at = self._skip(0)
        while self._text[at] != "}":
            key, begin = self._key(self._skip(at + 1))
            try:
                _, at = self._scan(self._text, begin)
            except RecursionError:
                _, at = self._read(begin)
            if key == name:
                start, end = begin, at
            at = self._skip(at)
        before = len(self._text[:start].encode())
        return before, before + len(self._text[start:end].encode())

    def _read(self, at: int) -> tuple[Any, int]:
        """The value that begins there, and where it ends."""
        text = self._text
        opened: list[tuple[Any, str | None]] = []
        while True:
            value, at, is_open = self._begin(at, depth=len(opened))
            if is_open:
                key, at = self._key(at) if isinstance(value, dict) else (None, at)
                opened.append((value, key))
                continue
            while opened:
                container, key = opened.pop()
                if key is None:
                    container.append(value)
                else:
                    container[key] = value
                at = self._skip(at)
                character = text[at : at + 1]
                if character == ",":
                    at = self._skip(at + 1)
                    key, at = (None, at) if key is None else self._key(at)
                    opened.append((container, key))
                    break
                if character != ("]" if key is None else "}"):
                    raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
                value, at = container, at + 1
            else:
                return value, at

    def _begin(self, at: int, *, depth: int) -> tuple[Any, int, bool]:
        """The value that begins there and where it ends; or a container that is still open, and where it goes on."""
        text = self._text
        character = text[at : at + 1]
        if character not in ("[", "{"):
            return *self._scan(text, at), False
        if depth == self._max_depth:
            raise ValueError(_TOO_DEEP)
        if self._looked_at_in_vain <= 4 * at and depth + _WINDOW // 2 <= self._max_depth:
            try:
                value, length = self._scan(text[at : at + _WINDOW], 0)
                return value, at + length, False
            except (ValueError, RecursionError):
                self._looked_at_in_vain += _WINDOW
        container: Any = [] if character == "[" else {}
        at = self._skip(at + 1)
        if text[at : at + 1] == ("]" if character == "[" else "}"):
            return container, at + 1, False
        return container, at, True

    def _key(self, at: int) -> tuple[str, int]:
        """The name of the member that begins there, and where its value does."""
        if self._text[at : at + 1] != '"':
            raise json.JSONDecodeError("Expecting a name in double quotes", self._text, at)
        key, at = self._scan(self._text, at)
        at = self._skip(at)
        if self._text[at : at + 1] != ":":
            raise json.JSONDecodeError("Expecting ':' delimiter", self._text, at)
        return key, self._skip(at + 1)

    def _skip(self, at: int) -> int:
        return _SPACE.match(self._text, at).end()  # type: ignore[union-attr]  # it matches nothing, too


def write_deep(value: Any, options: dict[str, Any], *, max_depth: int) -> bytes:
    """As ``to_json`` writes it with these options; containers that hold no other are left to that.

    Raises:
        ValueError: something in it cannot become JSON, or it is nested too deeply.
    """
    pieces: list[bytes] = []
    opened: list[Iterator[tuple[bytes, Any]]] = [iter([(b"", value)])]
    closings = [b""]
    while opened:
        for before, each in opened[-1]:
            pieces.append(before)
            if isinstance(each, _CONTAINERS) and len(opened) > max_depth:
                raise ValueError(f"{_TOO_DEEP}, if it is not nested in itself")
            if _is_shallow(each):
                pieces.append(to_json(each, **options))
                continue
            is_object = isinstance(each, dict)
            pieces.append(b"{" if is_object else b"[")
            closings.append(b"}" if is_object else b"]")
            opened.append(_members(each, options) if is_object else _items(each))
            break
        else:
            opened.pop()
            pieces.append(closings.pop())
    return b"".join(pieces)


def _is_shallow(value: Any) -> bool:
    if not isinstance(value, _CONTAINERS):
        return True
    inside = value.values() if isinstance(value, dict) else value
    return not any(isinstance(each, _CONTAINERS) for each in inside)


def _members(value: dict[Any, Any], options: dict[str, Any]) -> Iterator[tuple[bytes, Any]]:
    comma = b""
    for key, each in value.items():
        name = to_json({key: None}, **options).removeprefix(b"{").removesuffix(b"null}")
        yield comma + name, each
        comma = b","


def _items(values: list[Any] | tuple[Any, ...]) -> Iterator[tuple[bytes, Any]]:
    return ((b"," if index else b"", each) for index, each in enumerate(values))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
