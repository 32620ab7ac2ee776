"""JSON of any depth up to one limit, read and written without recursion: for what pydantic refuses for its depth."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from pydantic_core import to_json

MAX_DEPTH: Final = 10_000
"""Objects and lists inside of each other, in a model input or output. Python holds such a value without harm; one of
100,000 levels ends the process in places."""

HALF: Final = "a lone surrogate such as \\ud83d is not valid text; send the complete pair, or \\ufffd"

_TOO_DEEP: Final = f"nested deeper than {MAX_DEPTH:,} levels, the maximum; flatten it"
_CONTAINERS: Final = (dict, list, tuple)
_CLOSINGS: Final = {"[": "]", "{": "}"}
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
        for found in _ESCAPE.finditer(text):
            if len(found[0]) == _LENGTH_OF_HALF:
                raise json.JSONDecodeError(HALF, text, found.start())
        self._text = text
        self._max_depth = max_depth
        self._decode = json.JSONDecoder(parse_constant=None if allow_inf_nan else _refuse_constant).raw_decode
        self._looked_at_in_vain = 0

    def value(self) -> Any:
        """The value that is the whole text.

        Raises:
            ValueError: it is no JSON, or nested too deeply.
        """
        value, end = self._read(self._skip(0))
        self._check_end(end)
        return value

    def members(self) -> dict[str, tuple[Any, int, int]] | None:
        """The members of the object that is the whole text, and where in it each value begins and ends; None: it is none.

        Raises:
            ValueError: it is no JSON, or a value is nested too deeply.
        """
        at = self._skip(0)
        if self._text[at : at + 1] != "{":
            self.value()
            return None
        found: dict[str, tuple[Any, int, int]] = {}
        at = self._skip(at + 1)
        if self._text[at : at + 1] != "}":
            character = ","
            while character == ",":
                name, start = self._name(at)
                try:
                    value, end = self._decode(self._text, start)
                except RecursionError:
                    value, end = self._read(start)
                found[name] = value, start, end
                character, at = self._after(end, "}")
        else:
            at += 1
        self._check_end(at)
        return found

    def _read(self, at: int) -> tuple[Any, int]:
        """The value that begins there, and where it ends."""
        containers: list[Any] = []
        names: list[str | None] = []  # of the member that is being read, for each of them that is an object
        while True:
            value, at, is_open = self._begin(at, depth=len(containers))
            if is_open:
                name, at = self._name(at) if type(value) is dict else (None, at)
                containers.append(value)
                names.append(name)
                continue
            while containers:
                container, name = containers[-1], names[-1]
                if name is None:
                    container.append(value)
                    character, at = self._after(at, "]")
                else:
                    container[name] = value
                    character, at = self._after(at, "}")
                if character == ",":
                    if name is not None:
                        names[-1], at = self._name(at)
                    break
                value = containers.pop()
                names.pop()
            else:
                return value, at

    def _begin(self, at: int, *, depth: int) -> tuple[Any, int, bool]:
        """The value that begins there and where it ends; or a container that is still open, and where it goes on."""
        text = self._text
        character = text[at : at + 1]
        if character not in _CLOSINGS:
            return *self._decode(text, at), False
        if depth == self._max_depth:
            raise ValueError(_TOO_DEEP)
        if self._looked_at_in_vain <= 4 * at and depth + _WINDOW // 2 <= self._max_depth:
            try:
                value, length = self._decode(text[at : at + _WINDOW])
                return value, at + length, False
            except (ValueError, RecursionError):
                self._looked_at_in_vain += _WINDOW
        container: Any = [] if character == "[" else {}
        at = self._skip(at + 1)
        if text[at : at + 1] == _CLOSINGS[character]:
            return container, at + 1, False
        return container, at, True

    def _after(self, at: int, closing: str) -> tuple[str, int]:
        """What follows a value, a comma or the end of its container, and what begins behind it."""
        at = self._skip(at)
        character = self._text[at : at + 1]
        if character == ",":
            return character, self._skip(at + 1)
        if character != closing:
            raise json.JSONDecodeError("Expecting ',' delimiter", self._text, at)
        return character, at + 1

    def _name(self, at: int) -> tuple[str, int]:
        """The name of the member that begins there, and where its value does."""
        if self._text[at : at + 1] != '"':
            raise json.JSONDecodeError("Expecting a name in double quotes", self._text, at)
        name, at = self._decode(self._text, at)
        at = self._skip(at)
        if self._text[at : at + 1] != ":":
            raise json.JSONDecodeError("Expecting ':' delimiter", self._text, at)
        return name, self._skip(at + 1)

    def _skip(self, at: int) -> int:
        return _SPACE.match(self._text, at).end()  # type: ignore[union-attr]  # it matches nothing, too

    def _check_end(self, at: int) -> None:
        if (end := self._skip(at)) != len(self._text):
            raise json.JSONDecodeError("Extra data", self._text, end)


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
