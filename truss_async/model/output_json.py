"""An output as JSON: in it nothing is left that JSON does not have, and its files are stored."""

from collections.abc import Callable
from typing import Any, Final

from ..contract.json_text import write
from ..errors import OutputError
from .file_parts import FilePart
from .output_walk import OutputWalk
from .places import Place
from .plain_values import is_plain

_MOST_DIGITS: Final = 4300  # Python writes no longer number, and so does the Truss server


class OutputJson:
    """The JSON of one output that any parser reads, NaN and infinities as null; and what of it the server could send.

    ``output`` is what a caller who wants msgpack is answered.
    """

    def __init__(self, output: Any, store: Callable[[FilePart, Place], Any]) -> None:
        self.output = output
        self.is_sendable = True
        """Whether the Truss server can send the output that was given, as JSON."""
        value = output
        if not is_plain(output):
            walk = OutputWalk(store)
            value = walk.walked(output)
            self.is_sendable = walk.is_sendable and not walk.is_changed
            if walk.is_changed:
                self.output = value
        try:
            self.body = _to_json(value)
            if not _may_hold_long_number(self.body):
                return
        except ValueError:
            pass  # half a character, or an output in itself
        self.output = OutputWalk(_no_file, is_careful=True).walked(value)
        self.is_sendable = False
        try:
            self.body = _to_json(self.output)
        except ValueError as error:
            raise OutputError(f"the output cannot be converted to JSON: {error}") from error


def _to_json(value: Any) -> bytes:
    return write(value, by_alias=False, inf_nan_mode="null", fallback=_items)


def _items(array: Any) -> Any:
    return array.tolist()


def _may_hold_long_number(body: bytes) -> bool:
    """Whether there are more digits in a row than a number may have; a text of digits may pass for one.

    A row as long as that fills one of the halves that all is cut into.
    """
    if len(body) <= _MOST_DIGITS:
        return False
    half = _MOST_DIGITS // 2
    return any(body[at : at + half].isdigit() for at in range(0, len(body) - half, half))


def _no_file(part: FilePart, place: Place) -> Any:
    raise TypeError(f"{part} at {place} exists already")
