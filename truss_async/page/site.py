"""What all pages share: who may see them and act, the frame round each, and the way from an action to the next page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from ..errors import ApiError, TrussAsyncError
from .asking import HarnessCalls
from .forms import BadFormError, read_form
from .history import History
from .panels import Panels, here, is_for_panel
from .rendering import make_environment
from .sessions import Sessions, theme_of

if TYPE_CHECKING:
    from ..contract.harness_calls import Health, QueueState
    from .asking import Ask
    from .settings import PageSettings

Form: TypeAlias = dict[str, str]
Shows: TypeAlias = Callable[["Site", Request], Awaitable[Response]]
Acts: TypeAlias = Callable[["Site", Request, Form], Awaitable[Response]]

HOME: Final = "/_harness/"
PAGES: Final = "/_harness/page"
KEY_PATH: Final = f"{PAGES}/key"
STREAM_PATH: Final = f"{PAGES}/stream"
HISTORY_PATH: Final = f"{PAGES}/history"
NAVIGATION: Final = (
    ("overview", "Overview", HOME),
    ("requests", "Requests", f"{PAGES}/requests"),
    ("webhooks", "Webhooks", f"{PAGES}/webhooks"),
    ("results", "Results", f"{PAGES}/results"),
    ("faults", "Faults", f"{PAGES}/faults"),
)


class ReadOnlyError(TrussAsyncError):
    """The pages let nothing be changed."""


class StaleFormError(TrussAsyncError):
    """A form of another session, or none of these pages."""


class Site:
    """The pages of one harness."""

    def __init__(self, ask: Ask, settings: PageSettings) -> None:
        self.calls = HarnessCalls(ask)
        self.settings = settings
        self.sessions = Sessions(settings.api_key)
        self.history = History(self.calls)
        self.panels = Panels(self.history)
        self.streams = 0
        self._templates = make_environment()

    async def page(
        self,
        request: Request,
        template: str,
        *,
        section: str,
        title: str,
        changes_with: str | None = None,
        status: int = 200,
        **facts: Any,
    ) -> Response:
        """A page in its frame, with how the harness is at this moment; or, where that is asked for, its panel alone.

        ``here`` is where it is found again, if elsewhere, ``changes_with`` what it is of, if that is not its section.
        """
        shown = {"section": section, "title": title, "here": here(request), **facts}
        watched = changes_with or section
        stream = {"section": watched, "of": shown["here"], "seen": self.history.version(watched)}
        shown["now"] = (await self.calls.clock()).now
        shown["health"], shown["queue"] = self._last_state(request) or (
            await self.calls.health(),
            await self.calls.queue(),
        )
        if is_for_panel(request):
            page = self._templates.get_template(template)
            return HTMLResponse(
                page.render(is_panel=True, settings=self.settings, **shown), status_code=status
            )
        return self._rendered(
            request, template, status=status, stream=f"{STREAM_PATH}?{urlencode(stream)}", **shown
        )

    def _last_state(self, request: Request) -> tuple[Health, QueueState] | None:
        """How the harness was when it was told that a panel has something new to show, if it was."""
        panel = self.panels.watched(request) if is_for_panel(request) else None
        return self.history.state if panel is not None and panel.is_told else None

    def bare(self, request: Request, template: str, *, title: str, status: int, **facts: Any) -> Response:
        """A page that shows nothing of the harness."""
        return self._rendered(request, template, status=status, section="", title=title, **facts)

    def go(self, request: Request, to: str, said: str | None = None) -> Response:
        """On to a page, after an action; ``said`` is shown there, once."""
        response = RedirectResponse(to, status_code=303)
        if said is not None:
            self.sessions.say(request, response, said)
        return response

    def back(self, request: Request, form: Form, said: str) -> Response:
        """To the page that the form was on."""
        return self.go(request, own_path(form.get("back", "")), said)

    def _rendered(self, request: Request, template: str, *, status: int, **facts: Any) -> Response:
        session = self.sessions.current(request)
        begun = session is None and not self.sessions.needs_key
        if begun:
            session = self.sessions.begin()
        said = self.sessions.said(request)
        facts.setdefault("here", here(request))
        page = self._templates.get_template(template).render(
            said=said,
            theme=theme_of(request),
            token="" if session is None else self.sessions.token(session),
            is_panel=False,
            settings=self.settings,
            navigation=NAVIGATION,
            may_leave=self.sessions.needs_key and session is not None,
            **facts,
        )
        response = HTMLResponse(page, status_code=status)
        if begun and session is not None:
            self.sessions.keep(request, response, session)
        if said is not None:
            self.sessions.forget_said(request, response)
        return response


def own_path(given: str) -> str:
    """A path of these pages; what is none leads to the first of them."""
    try:
        found = urlsplit(given)
    except ValueError:
        return HOME
    if found.scheme or found.netloc or not found.path.startswith(HOME) or "\\" in given:
        return HOME
    return found.path + (f"?{found.query}" if found.query else "")


def showing(site: Site, path: str, shows: Shows) -> Route:
    """A page at a path, for whoever may look."""

    async def shown(request: Request) -> Response:
        try:
            return await shows(site, request)
        except BadFormError as error:
            return failed(site, request, 400, str(error))
        except ApiError as error:
            return failed(site, request, error.status_code or 503, str(error))

    async def endpoint(request: Request) -> Response:
        if site.sessions.needs_key and site.sessions.current(request) is None:
            return asks_for_key(site, request, 401)
        panel = site.panels.watched(request) if is_for_panel(request) else None
        if panel is None:
            return await shown(request)
        return await panel.answer(request, lambda: shown(request))

    return Route(path, endpoint, methods=["GET"])


def acting(site: Site, path: str, acts: Acts) -> Route:
    """What a form does, for whoever may look, unless nothing may be changed."""

    async def endpoint(request: Request) -> Response:
        session = site.sessions.current(request)
        if session is None and site.sessions.needs_key:
            return asks_for_key(site, request, 401)
        try:
            form = await read_form(request)
            if session is None or not site.sessions.is_token(session, form.get("token", "")):
                raise StaleFormError(
                    "this form is from before the harness was started; go back, reload, and send it again"
                )
            if site.settings.read_only is not None:
                raise ReadOnlyError(f"nothing can be changed here: {site.settings.read_only}")
            return await acts(site, request, form)
        except (StaleFormError, ReadOnlyError) as error:
            return failed(site, request, 403, str(error))
        except BadFormError as error:
            return failed(site, request, 400, str(error))
        except ApiError as error:
            return failed(site, request, error.status_code or 503, str(error))

    return Route(path, endpoint, methods=["POST"])


def asks_for_key(site: Site, request: Request, status: int, problem: str = "") -> Response:
    """The form for the API key; then it goes on to the page that was asked for."""
    to = request.url.path if request.method == "GET" and request.url.path != KEY_PATH else HOME
    query = f"?{request.url.query}" if to != HOME and request.url.query else ""
    return site.bare(request, "key.html", title="API key", status=status, to=f"{to}{query}", problem=problem)


def failed(site: Site, request: Request, status: int, message: str) -> Response:
    """A page that says what went wrong."""
    return site.bare(
        request, "failed.html", title="That did not work", status=status, message=message, code=status
    )


def given(asked: Sequence[tuple[str, str]]) -> dict[str, str]:
    """What was filled in."""
    return {name: value.strip() for name, value in asked if value.strip()}
