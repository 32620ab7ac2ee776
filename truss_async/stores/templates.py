"""Settings that are templates: which names they may hold, and what they become when an output is saved."""

import functools
import re
import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ..errors import SettingsError

REQUEST_ID: Final = "request_id"
DATE: Final = "date"
URL_NAMES: Final = ("model_id", "deployment_id", "environment", DATE)
DEFAULT_DATE_FORMAT: Final = "%Y-%m-%d"

_VALUE: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", re.ASCII)
_DIRECTIVE: Final = re.compile(r"%[-_0^#]?(.)")
_OF_A_DAY: Final = frozenset("aAbBhdemyYCjUWVuwGgDFx%")
"""Directives that stand for the same all day long, in UTC."""
_ANY: Final = r"[\w.,:+ -]+"  # a part of a date never holds a slash
_DIGITS: Final = {
    "Y": r"\d{4}",
    "j": r"\d{3}",
    "f": r"\d{6}",
    "%": "%",
    **dict.fromkeys("ymdHMSIUW", r"\d{2}"),
}


@dataclass(frozen=True)
class Field:
    """A part of a template that is filled in."""

    name: str
    spec: str = ""


def check_url(template: str) -> str:
    """The template of a store's URL; ValueError when it holds what it must not."""
    return _check_names(template, allowed=URL_NAMES)


def check_key(template: str) -> str:
    """The template of a result's key; ValueError when it holds what it must not, or lacks what it must."""
    _check_names(template, allowed=(REQUEST_ID, *URL_NAMES))
    if REQUEST_ID not in [each.name for each in _parsed(template) if isinstance(each, Field)]:
        raise ValueError("must hold {request_id}, or outputs would replace each other")
    if not template.endswith(".json"):
        raise ValueError("must end with .json")
    return template


def render(template: str, *, values: Mapping[str, str | None], now: datetime) -> str:
    """The template with its values. SettingsError when one of them is not set, or must not be in a key."""
    return filled_in(_parsed(template), values=values, now=now, template=template)


def pieces_of(template: str, values: Mapping[str, str | None]) -> list[str | Field]:
    """The template in pieces, with the values that are known; no two texts follow each other."""
    pieces: list[str | Field] = []
    for piece in _parsed(template):
        value = values.get(piece.name) if isinstance(piece, Field) else piece
        known = _checked(template, piece.name, value) if isinstance(piece, Field) and value else value
        if known and pieces and isinstance(pieces[-1], str):
            pieces[-1] += known
        elif known or isinstance(piece, Field):
            pieces.append(known or piece)
    return pieces


def filled_in(
    pieces: Sequence[str | Field], *, values: Mapping[str, str | None], now: datetime, template: str = ""
) -> str:
    """The pieces with their values; else as ``render``."""
    filled = []
    for piece in pieces:
        if isinstance(piece, str):
            filled.append(piece)
        elif piece.name == DATE:
            filled.append(now.strftime(piece.spec or DEFAULT_DATE_FORMAT))
        else:
            filled.append(_checked(template, piece.name, values.get(piece.name)))
    return "".join(filled)


def date_pattern(spec: str) -> str:
    """A regular expression that matches every date in that format."""
    form, pattern, end = spec or DEFAULT_DATE_FORMAT, "", 0
    for directive in _DIRECTIVE.finditer(form):
        pattern += re.escape(form[end : directive.start()])
        plain = len(directive[0]) == len("%Y")
        pattern += _DIGITS.get(directive[1], _ANY) if plain else _ANY
        end = directive.end()
    return pattern + re.escape(form[end:])


def day_part(spec: str) -> tuple[str, bool]:
    """The beginning of a format of dates that is the same all day long, and whether that is all of it."""
    form = spec or DEFAULT_DATE_FORMAT
    for directive in _DIRECTIVE.finditer(form):
        if directive[1] not in _OF_A_DAY:
            return form[: directive.start()], False
    return form, True


def _check_names(template: str, *, allowed: Collection[str]) -> str:
    names = []
    for _, name, spec, conversion in string.Formatter().parse(template):
        if name is None:
            continue
        if conversion or (spec and name != DATE) or (spec and "{" in spec):
            raise ValueError(f"{{{name}}} takes no format; only {{{DATE}:…}} does")
        names.append(name)
    if unknown := sorted(set(names) - set(allowed)):
        known = ", ".join(f"{{{name}}}" for name in allowed)
        raise ValueError(f"unknown {', '.join(f'{{{name}}}' for name in unknown)}; allowed are {known}")
    return template


@functools.lru_cache(maxsize=64)
def _parsed(template: str) -> tuple[str | Field, ...]:
    pieces: list[str | Field] = []
    for literal, name, spec, _ in string.Formatter().parse(template):
        pieces += [literal] if literal else []
        pieces += [Field(name, spec or "")] if name is not None else []
    return tuple(pieces)


def _checked(template: str, name: str, value: str | None) -> str:
    in_what = repr(template) if template else "the key"
    if not value:
        raise SettingsError(f"{in_what} needs {name}, which is not set")
    if not _VALUE.fullmatch(value):
        raise SettingsError(f"{in_what} cannot hold the {name} {value!a}: letters, digits, - _ . only")
    return value
