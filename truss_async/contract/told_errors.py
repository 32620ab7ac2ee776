"""What an error says that may be any JSON, in words: a chainlet's, an ``HTTPException``'s detail, one as OpenAI, FastAPI, vLLM or RFC 9457 have it."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from .json_text import write

_HOLDERS: Final = ("error", "detail", "errors")
"""Where an error stands in an answer, or in another error."""
_MESSAGES: Final = ("exception_message", "message", "msg", "detail", "error")
_CLASSES: Final = ("exception_cls_name", "type", "error_type", "title")
_CODE: Final = "code"
_NAME: Final = re.compile(r"[A-Za-z][\w. -]{0,99}")
_LEVELS: Final = 8
"""Errors that stand in errors are looked for so deep."""


def error_message(answer: Any) -> str | None:
    """What an answer that is no success says, as parsed JSON; None for one that is not known to be an error."""
    if not isinstance(answer, dict):
        return None
    if (told := _told(answer, _LEVELS)) is not None:
        return told
    held = _held(answer)
    return None if held is None else in_words(held)


def in_words(said: Any) -> str:
    """An error as a text: its class and its message, as far as it has them; else the JSON."""
    told = _told(said, _LEVELS)
    if told is not None:
        return told
    return said if isinstance(said, str) else write(said, fallback=str).decode()


def _told(said: Any, levels: int) -> str | None:
    """None when there is no text in it that is known to be a message."""
    if isinstance(said, str):
        return said.strip() or None
    if isinstance(said, list):
        return _all_told(said, levels)
    if not isinstance(said, dict) or not levels:
        return None
    message = _first_text(said, _MESSAGES)
    if message is None:
        held = _held(said)
        told = None if held is None or isinstance(held, str) else _told(held, levels - 1)
        return told or _first_text(said, _CLASSES[:1])
    return _with_code(said, f"{_origin(said, message)}{message}")


def _all_told(errors: list[Any], levels: int) -> str | None:
    """A list of errors; one of anything else is JSON that its author means as it is."""
    if not errors or not levels or not all(isinstance(each, dict) for each in errors):
        return None
    told = [_told(each, levels - 1) for each in errors]
    return None if None in told else "; ".join(filter(None, told))


def _origin(said: Mapping[str, Any], message: str) -> str:
    """What stands before the message: where in the input the error is, or its class."""
    place = said.get("loc")
    if isinstance(place, list | tuple) and place:
        return f"{'.'.join(map(str, place))}: "
    names = [name for each in _CLASSES if isinstance(name := said.get(each), str) and _NAME.fullmatch(name)]
    return f"{names[0]}: " if names and not message.startswith(names[0]) else ""


def _with_code(said: Mapping[str, Any], text: str) -> str:
    code = said.get(_CODE)
    return f"{text} ({code})" if isinstance(code, str) and code and code not in text else text


def _first_text(said: Mapping[str, Any], names: Iterable[str]) -> str | None:
    return next(
        (text.strip() for name in names if isinstance(text := said.get(name), str) and text.strip()), None
    )


def _held(said: Mapping[str, Any]) -> Any:
    return next((said[name] for name in _HOLDERS if said.get(name)), None)
