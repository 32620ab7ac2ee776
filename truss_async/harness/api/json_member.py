"""A member of a JSON object, as it is written there."""

import re
import secrets
from collections.abc import Iterable
from typing import Any, Final

from pydantic_core import from_json

from ...contract.deep_json import MAX_DEPTH, DeepReader
from ...contract.json_text import check_finite

_TAIL: Final = 4096  # bytes at the end of a body in which the members after a large one are looked for
_MARKED: Final = secrets.token_hex(16)  # nobody can know it, and so send it
_MARK: Final = f'"{_MARKED}"'.encode()


class Member:
    """A member of JSON objects that is taken out of them as it is written; ``beside`` are small ones that may follow it."""

    def __init__(self, name: str, *, beside: Iterable[str]) -> None:
        self._name = name
        self._beginning = re.compile(rf'"{name}"[ \t\n\r]*:[ \t\n\r]*'.encode())
        self._end = re.compile(rf',[ \t\n\r]*"(?:{"|".join(beside)})"'.encode())

    def cut(self, body: bytes) -> tuple[bytes, dict[str, Any]] | None:
        """Its value, which is strict JSON, and the object with None in its place.

        None: the body has to be walked, in Python where it is deep; or there is something wrong with it.
        """
        if (found := self._beginning.search(body)) is None:
            return None
        start = found.end()
        following = self._end.search(body, max(start, len(body) - _TAIL))
        end = following.start() if following is not None else body.rfind(b"}")
        value = body[start:end]
        try:
            check_finite(from_json(value, allow_inf_nan=False), name=self._name)
            others = from_json(body[:start] + _MARK + body[end:], allow_inf_nan=False)
        except ValueError:
            return None
        if not isinstance(others, dict) or others.get(self._name) != _MARKED:
            return None  # that was another member, or a text that looked like it
        others[self._name] = None
        return value.rstrip(), others

    def cut_by_walk(self, body: bytes) -> tuple[bytes, dict[str, Any]] | None:
        """The same. None: the body is no object, or has no such member.

        Raises:
            ValueError: the body is no strict JSON, or nested too deeply.
        """
        text = body.decode()
        members = DeepReader(text, allow_inf_nan=False, max_depth=MAX_DEPTH).members()
        if members is None or self._name not in members:
            return None
        value, start, end = members[self._name]
        check_finite(value, name=self._name)
        others = {name: found[0] for name, found in members.items()}
        return text[start:end].encode(), others | {self._name: None}
