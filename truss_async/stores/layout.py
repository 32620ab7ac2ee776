"""Where in a store the objects of a request lie: a template, which is filled in to write and matched to find."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from ..errors import SettingsError, UnsafeObjectKeyError
from .idempotency import ATTEMPT_ID
from .keys import check_artifact_name, check_object_key, check_request_id, is_artifact_name
from .templates import (
    DATE,
    REQUEST_ID,
    Field,
    check_key,
    check_url,
    date_pattern,
    day_part,
    filled_in,
    pieces_of,
)

Kind: TypeAlias = Literal["result", "error", "artifact"]

DEFAULT_KEY: Final = "{request_id}.json"

_ENDING: Final = ".json"
_ERROR_ENDING: Final = ".error.json"
_NAME: Final = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"
_RECENTLY: Final = tuple(timedelta(hours=hours) for hours in (0, 1, 24, 48))
_DAY: Final = timedelta(days=1)
_CLOCKS_APART: Final = timedelta(hours=1)
"""What the clock of who saves and that of who looks may differ by, at most."""


@dataclass(frozen=True)
class OutputKeys:
    """The keys of what is kept of one request. Error and artifacts lie beside the result, so that none replaces another.

    Of the attempts at a request, one has the plain keys for its artifacts, and each other a folder of its own below.
    """

    request_id: str
    result: str

    @property
    def error(self) -> str:
        return self.result.removesuffix(_ENDING) + _ERROR_ENDING

    @property
    def folder(self) -> str:
        """What the keys of all its artifacts start with."""
        parent, slash, _ = self.result.rpartition("/")
        return f"{parent}{slash}{self.request_id}/"

    def artifact(self, name: str, *, attempt_id: str = "") -> str:
        """The key of an artifact; with an attempt id, one that no other attempt at the request writes."""
        return self.folder + (f"{attempt_id}/" if attempt_id else "") + check_artifact_name(name)


def default_keys(request_id: str) -> OutputKeys:
    """The keys where nothing else is asked for."""
    return OutputKeys(check_request_id(request_id), DEFAULT_KEY.format(request_id=request_id))


class KeyLayout:
    """The keys of results, errors and artifacts below one URL.

    What a key holds beside the request id, such as the date of the save, may be unknown: then it is looked for.
    """

    def __init__(self, pieces: Sequence[str | Field]) -> None:
        self._pieces = list(pieces)
        self._unknown = {each.name for each in pieces if isinstance(each, Field)} - {REQUEST_ID}
        self._result = re.compile(_pattern(pieces))
        folder, slash, _ = _pattern(pieces).rpartition("/")
        self._folder = re.compile(folder + slash)

    @property
    def is_fixed(self) -> bool:
        """Whether the keys follow from the request id alone."""
        return not self._unknown

    @property
    def has_date(self) -> bool:
        """Whether keys hold the date of the save."""
        return DATE in self._unknown

    def keys_of(self, request_id: str, *, now: datetime) -> OutputKeys:
        """The keys of what is written now; SettingsError when a value for it is not known."""
        values = {REQUEST_ID: check_request_id(request_id)}
        return OutputKeys(request_id, check_object_key(filled_in(self._pieces, values=values, now=now)))

    def likely_keys(
        self, request_id: str, *, now: datetime, since: datetime | None = None
    ) -> list[OutputKeys]:
        """The keys of what was written recently, the latest first; none when more than the date is unknown.

        ``since``: it was not written before.
        """
        check_request_id(request_id)
        if self._unknown - {DATE}:
            return []
        earliest = now - max(_RECENTLY) if since is None else since - _CLOCKS_APART
        moments = (min(now, max(now - ago, earliest)) for ago in _RECENTLY)
        return list(dict.fromkeys(self.keys_of(request_id, now=moment) for moment in moments))

    def prefixes_by_day(
        self, request_id: str, *, now: datetime, since: datetime, tried: Iterable[OutputKeys] = ()
    ) -> list[str]:
        """What the keys of result and error start with, of each day from now back to then, the latest first.

        One prefix for all days where no day is told by what a key starts with. Days whose keys were ``tried`` are left
        out, where a day has but one key.
        """
        check_request_id(request_id)
        earliest = (since - _CLOCKS_APART).date()
        latest = now + _CLOCKS_APART
        days = [latest - number * _DAY for number in range((latest.date() - earliest).days + 1)]
        if self._has_a_key_a_day:
            known = set(tried)
            days = [day for day in days if self.keys_of(request_id, now=day) not in known]
        return list(dict.fromkeys(self._prefix_of_day(request_id, day) for day in days))

    @property
    def _has_a_key_a_day(self) -> bool:
        dates = [each.spec for each in self._pieces if isinstance(each, Field) and each.name == DATE]
        return self._unknown <= {DATE} and all(day_part(spec)[1] for spec in dates)

    def _prefix_of_day(self, request_id: str, day: datetime) -> str:
        prefix = ""
        for piece in self._pieces:
            if isinstance(piece, str):
                prefix += piece
            elif piece.name == REQUEST_ID:
                return prefix + request_id
            elif piece.name != DATE:
                return prefix
            else:
                form, is_all = day_part(piece.spec)
                prefix += day.strftime(form) if form else ""
                if not is_all:
                    return prefix
        return prefix

    def prefix(self, request_ids: str = "") -> str:
        """What the keys of all requests whose ids start like that have in common."""
        first, *rest = [*self._pieces, ""]
        if isinstance(first, Field):
            return request_ids if first.name == REQUEST_ID else ""
        starts_with_id = isinstance(rest[0], Field) and rest[0].name == REQUEST_ID
        return first + request_ids if starts_with_id else first

    def request_id_of(self, key: str) -> str | None:
        """The request whose result is under the key; None when it is an error, an artifact, or not ours."""
        found = self._result.fullmatch(key)
        try:
            return check_request_id(found[REQUEST_ID]) if found else None
        except UnsafeObjectKeyError:
            return None

    def failed_request_id_of(self, key: str) -> str | None:
        """The request whose error is under the key; None when it is something else."""
        if not key.endswith(_ERROR_ENDING):
            return None
        return self.request_id_of(key.removesuffix(_ERROR_ENDING) + _ENDING)

    def kind_of(self, key: str, request_id: str) -> Kind | None:
        """What of the request is under the key; None when it is nothing of it."""
        if self.request_id_of(key) == request_id:
            return "result"
        if self.failed_request_id_of(key) == request_id:
            return "error"
        return "artifact" if self._is_artifact(key, request_id) else None

    def _is_artifact(self, key: str, request_id: str) -> bool:
        folder, _, name = key.rpartition("/")
        outer, _, inner = folder.rpartition("/")
        if inner != request_id and ATTEMPT_ID.fullmatch(inner):
            folder = outer
        if not f"/{folder}".endswith(f"/{request_id}") or not is_artifact_name(name):
            return False
        found = self._folder.fullmatch(folder.removesuffix(request_id))
        return found is not None and found.groupdict().get(REQUEST_ID, request_id) == request_id


def layout_of(url: str, key: str, *, values: Mapping[str, str | None]) -> tuple[str, KeyLayout]:
    """The URL as far as it is known, and the layout of the keys below it.

    SettingsError when a template is wrong, or not even the bucket is known.
    """
    try:
        keys = pieces_of(check_key(key), values)
        root_pieces = pieces_of(check_url(url), values)
    except ValueError as error:
        raise SettingsError(f"{url!a} with the key {key!a}: {error}") from None
    first = root_pieces[0] if root_pieces else ""
    if isinstance(first, str) and len(root_pieces) <= 1:
        return first, KeyLayout(keys)
    root, _, rest = first.rpartition("/") if isinstance(first, str) else ("", "", "")
    if "://" not in root:
        raise SettingsError(f"{url!a}: give a value for what is in the name of the bucket")
    return root, KeyLayout([*filter(None, [rest]), *root_pieces[1:], "/", *keys])


def _pattern(pieces: Sequence[str | Field]) -> str:
    pattern = ""
    for piece in pieces:
        if isinstance(piece, str):
            pattern += re.escape(piece)
        elif piece.name == DATE:
            pattern += date_pattern(piece.spec)
        elif piece.name != REQUEST_ID:
            pattern += _NAME
        else:
            again = f"(?P<{REQUEST_ID}>" in pattern
            pattern += f"(?P={REQUEST_ID})" if again else f"(?P<{REQUEST_ID}>{_NAME})"
    return pattern
