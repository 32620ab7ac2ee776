"""The faults that are set: what struck how often, what to add, what to take back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..contract.faults import FaultKind
from .forms import BadFormError
from .site import PAGES, Form, Site, acting, given, showing

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

PATH: Final = f"{PAGES}/faults"
NUMBERS: Final[Mapping[str, Callable[[str], int | float]]] = {
    "nth": int,
    "attempt": int,
    "times": int,
    "rate": float,
    "seed": int,
    "seconds": float,
}
TEXTS: Final[tuple[str, ...]] = ("kind", "request_id", "deployment_id")
PRESETS: Final = (
    ("The next webhook is lost", {"kind": "webhook_dropped", "times": 1}),
    ("The next model call answers 500", {"kind": "model_500", "times": 1}),
    ("One webhook in ten arrives twice", {"kind": "webhook_doubled", "rate": 0.1}),
    ("Every webhook has a wrong signature", {"kind": "webhook_wrong_signature"}),
)


def routes(site: Site) -> list[Route]:
    """The page, and its actions."""
    return [
        showing(site, PATH, faults),
        acting(site, f"{PATH}/add", add),
        acting(site, f"{PATH}/remove", remove),
        acting(site, f"{PATH}/clear", clear),
    ]


async def faults(site: Site, request: Request) -> Response:
    """The page."""
    groups = {
        "Webhooks": [each.value for each in FaultKind if each.is_of_webhook],
        "Model": [each.value for each in FaultKind if each.value.startswith("model_")],
        "Output store": [each.value for each in FaultKind if each.is_of_store],
        "Calls": [each.value for each in FaultKind if each.is_of_call],
    }
    return await site.page(
        request,
        "faults.html",
        section="faults",
        title="Faults",
        rules=[(each, _terms(each.model_dump(mode="json"))) for each in (await site.calls.faults()).faults],
        groups=groups,
        presets=PRESETS,
    )


async def add(site: Site, request: Request, form: Form) -> Response:
    """Set a fault."""
    filled = given(list(form.items()))
    texts = {name: filled[name] for name in TEXTS if name in filled}
    numbers = {name: _number(name, filled[name]) for name in NUMBERS if name in filled}
    added = await site.calls.add_fault({**texts, **numbers})
    return site.back(request, form, f"Fault {added.id} is set: {added.kind.value}.")


async def remove(site: Site, request: Request, form: Form) -> Response:
    """Take back a fault."""
    removed = await site.calls.remove_fault(form.get("id", ""))
    return site.back(request, form, f"Fault {removed.id} was removed.")


async def clear(site: Site, request: Request, form: Form) -> Response:
    """Take back all of them."""
    await site.calls.clear_faults()
    return site.back(request, form, "All faults were removed.")


def _number(name: str, text: str) -> int | float:
    try:
        return NUMBERS[name](text)
    except ValueError:
        raise BadFormError(f"{name}: give a number, not {text[:40]!a}") from None


def _terms(rule: dict[str, Any]) -> str:
    shown = {
        name: value
        for name, value in rule.items()
        if value is not None and name not in ("id", "kind", "struck") and (name, value) != ("seed", 0)
    }
    return ", ".join(f"{name} {value}" for name, value in shown.items()) or "always"
