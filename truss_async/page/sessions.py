"""Who looks at the pages: a cookie that proves the key was given, a token in every form, and a word for the next page."""

from __future__ import annotations

import base64
import hmac
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

COOKIE_PATH: Final = "/_harness"
_ANYBODY: Final = "anybody"
_KEY_HOLDER: Final = "key"
_LONGEST_FLASH: Final = 600


class Sessions:
    """Issues cookies and tokens, signed with a secret of this start of the harness; nothing is kept.

    With ``api_key``, a session is good only once that was given. Cookies are the same for all ports of a host, so each
    port has names of its own.
    """

    def __init__(self, api_key: str | None) -> None:
        self._api_key = api_key
        self._secret = secrets.token_bytes(32)

    def current(self, request: Request) -> str | None:
        """The session of a request; None: it has none that is good here."""
        value = request.cookies.get(_name("session", request), "")
        given, _, proof = value.rpartition(".")
        kind = given.partition(".")[0]
        if kind != self._kind or not self._is_signed("session", given, proof):
            return None
        return value

    def is_key(self, given: str) -> bool:
        """Whether it is the API key."""
        return self._api_key is not None and hmac.compare_digest(
            given.strip().encode(), self._api_key.encode()
        )

    @property
    def needs_key(self) -> bool:
        """Whether nobody may look before the key was given."""
        return self._api_key is not None

    def begin(self) -> str:
        """A new session; whoever asks has given the key, if there is one."""
        given = f"{self._kind}.{secrets.token_urlsafe(24)}"
        return f"{given}.{self._signature('session', given)}"

    def keep(self, request: Request, response: Response, session: str) -> None:
        """Let the browser come back with it."""
        _set(response, _name("session", request), session)

    def token(self, session: str) -> str:
        """What every form of a page carries: pages of others cannot know it."""
        return self._signature("token", session)

    def is_token(self, session: str, given: str) -> bool:
        """Whether a form was on a page of this session."""
        return hmac.compare_digest(self.token(session).encode(), given.encode())

    def say(self, request: Request, response: Response, text: str) -> None:
        """Let the next page show this, once."""
        told = base64.urlsafe_b64encode(text[:_LONGEST_FLASH].encode("utf-8", "replace")).decode()
        _set(response, _name("said", request), f"{told}.{self._signature('said', told)}", max_age=60)

    def said(self, request: Request) -> str | None:
        """What this page is to show."""
        told, _, proof = request.cookies.get(_name("said", request), "").rpartition(".")
        if not told or not self._is_signed("said", told, proof):
            return None
        return base64.urlsafe_b64decode(told).decode("utf-8", "replace")

    @staticmethod
    def forget_said(request: Request, response: Response) -> None:
        """It was shown."""
        response.delete_cookie(_name("said", request), path=COOKIE_PATH, httponly=True, samesite="strict")

    @property
    def _kind(self) -> str:
        return _ANYBODY if self._api_key is None else _KEY_HOLDER

    def _signature(self, what: str, text: str) -> str:
        return hmac.new(self._secret, f"{what}:{text}".encode(), sha256).hexdigest()

    def _is_signed(self, what: str, text: str, proof: str) -> bool:
        return hmac.compare_digest(self._signature(what, text).encode(), proof.encode())


def theme_of(request: Request) -> str:
    """``dark`` or ``light``, as the toggle was set; empty: as the system is."""
    theme = request.cookies.get(_name("theme", request))
    return theme if theme in ("dark", "light") else ""


def keep_theme(request: Request, response: Response, theme: str) -> None:
    """Let pages look so from now on."""
    _set(response, _name("theme", request), theme, max_age=365 * 86_400)


def _name(what: str, request: Request) -> str:
    _, port = request.scope.get("server") or ("", 0)
    return f"truss_async_{what}_{port}"


def _set(response: Response, name: str, value: str, *, max_age: int | None = None) -> None:
    response.set_cookie(name, value, max_age=max_age, path=COOKIE_PATH, httponly=True, samesite="strict")
