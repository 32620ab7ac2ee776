"""Settings that are templates: which names they may hold, and what they become when an output is saved."""

import functools
import re
import string
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from ..errors import SettingsError

REQUEST_ID: Final = "request_id"
DATE: Final = "date"
DEFAULT_DATE_FORMAT: Final = "%Y-%m-%d"

_VALUE: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", re.ASCII)


def template_names(template: str) -> list[str]:
    """The names between braces; ValueError when the braces, or what stands behind a name, cannot be understood."""
    names = []
    for _, name, spec, conversion in string.Formatter().parse(template):
        if name is None:
            continue
        if conversion or (spec and name != DATE) or (spec and "{" in spec):
            raise ValueError(f"{{{name}}} must stand as it is; only {{{DATE}:…}} takes a format")
        names.append(name)
    return names


def check_names(template: str, *, allowed: Collection[str]) -> str:
    """The template, if every name in it is an allowed one; else ValueError."""
    if unknown := sorted(set(template_names(template)) - set(allowed)):
        known = ", ".join(f"{{{name}}}" for name in allowed)
        raise ValueError(f"unknown {', '.join(f'{{{name}}}' for name in unknown)}; allowed are {known}")
    return template


def render(template: str, *, values: Mapping[str, str | None], now: datetime) -> str:
    """The template with its values. SettingsError when one of them is not set, or must not be in a key."""
    filled = []
    for literal, name, spec in _parsed(template):
        filled.append(literal)
        if name == DATE:
            filled.append(now.strftime(spec or DEFAULT_DATE_FORMAT))
        elif name is not None:
            filled.append(_value(template, name, values.get(name)))
    return "".join(filled)


@functools.lru_cache(maxsize=64)
def _parsed(template: str) -> tuple[tuple[str, str | None, str | None], ...]:
    return tuple((literal, name, spec) for literal, name, spec, _ in string.Formatter().parse(template))


def _value(template: str, name: str, value: str | None) -> str:
    if not value:
        raise SettingsError(f"{template!r} needs {name}, which is not set")
    if not _VALUE.fullmatch(value):
        raise SettingsError(f"{template!r} cannot hold the {name} {value!a}: letters, digits, - _ . only")
    return value
