"""What is done with all requests of a filter: it asks first, with the number, and says what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from pydantic import ValidationError
from pydantic_core import to_json

from ..contract.harness_calls import BulkAction
from ..errors import explained
from .forms import BadFormError
from .site import PAGES, Form, Site, acting, given, showing

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from ..contract.harness_calls import BulkDone

LIST: Final = f"{PAGES}/requests"
PATH: Final = f"{LIST}/all"
FILTERS: Final = ("deployment", "priority", "webhook_status", "since")
STATUS: Final = {"cancel": "QUEUED", "again": "FAILED"}
DONE: Final = {
    "cancel": "Cancelled {} of {} request{}",
    "again": "Submitted {} of {} request{} again, as new ones",
}
MORE: Final = {
    "cancel": "There are more; do it again for those.",
    "again": "There are more, but their inputs are no longer kept.",
}
LEFT: Final = {
    "cancel": "the others had started or finished by then",
    "again": "the inputs of the others are no longer kept",
}


def routes(site: Site) -> list[Route]:
    """The question, and what it leads to."""
    return [showing(site, PATH, question), acting(site, PATH, act)]


async def question(site: Site, request: Request) -> Response:
    """How many it would be of, at this moment."""
    asked = given(request.query_params.multi_items())
    action = _action({**asked, "counts_only": True})
    counted = await site.calls.act_on_all(action)
    return await site.page(
        request,
        "bulk.html",
        section="requests",
        title="Cancel all queued requests"
        if action.action == "cancel"
        else "Submit all failed requests again",
        action=action.action,
        counted=counted,
        chosen={name: asked[name] for name in FILTERS if name in asked},
        back_to=_list_of(action.action, asked),
    )


async def act(site: Site, request: Request, form: Form) -> Response:
    """Do it to what was there when the question was asked."""
    filled = given(list(form.items()))
    action = _action(filled)
    done = await site.calls.act_on_all(action)
    return site.go(
        request, _list_of(action.action, filled), told(action.action, done, asked=filled.get("number", ""))
    )


def told(action: str, done: BulkDone, *, asked: str) -> str:
    """What came of it, in the numbers of who asked."""
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else done.found
    said = DONE[action].format(f"{done.done:,}", f"{number:,}", "" if number == 1 else "s")
    if done.problem is not None:
        said += f"; then it stopped: {done.problem}"
    elif done.done < number:
        said += f": {LEFT[action]}"
    return f"{said}.{f' {MORE[action]}' if done.has_more else ''}"


def _action(filled: dict[str, Any]) -> BulkAction:
    facts = {name: filled[name] for name in BulkAction.model_fields if name in filled}
    if "priority" in facts:
        facts["priority"] = int(facts["priority"]) if facts["priority"] in ("0", "1", "2") else -1
    try:
        return BulkAction.model_validate_json(to_json(facts))
    except ValidationError as error:
        raise BadFormError(explained(error)) from None


def _list_of(action: str, filled: dict[str, str]) -> str:
    chosen = {name: filled[name] for name in FILTERS if name in filled}
    return f"{LIST}?{urlencode(chosen | {'status': STATUS[action]})}"
