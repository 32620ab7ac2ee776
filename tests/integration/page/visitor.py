"""Somebody who looks at the pages of a harness without JavaScript, without a browser even."""

from __future__ import annotations

import html
import re
from types import TracebackType
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from truss_async.harness.harness import Harness


class Visitor:
    """Keeps cookies, follows redirects, fills in and sends the forms of the page that was looked at last."""

    def __init__(self, harness: Harness, **headers: str) -> None:
        self.http = httpx.Client(
            base_url=harness.url,
            headers={"Accept": "text/html", **headers},
            follow_redirects=True,
            timeout=30,
        )
        self.page: httpx.Response

    def look(self, path: str) -> str:
        """The page at a path."""
        self.page = self.http.get(path)
        return self.page.text

    def send(self, action: str, **fields: str) -> str:
        """The page that follows when the form of that action is sent; ``fields`` are what is filled in, or pressed."""
        hidden = self.form(action)
        self.page = self.http.post(action, data={**hidden, **fields})
        return self.page.text

    def form(self, action: str) -> dict[str, str]:
        """The hidden fields of a form on the page: one with that action, or the one whose button sends it there."""
        which = f'method="post" action="{re.escape(action)}"'
        if f'formaction="{action}"' in self.page.text:
            which = 'id="act" method="post"'
        found = re.search(rf"<form [^>]*?{which}[^>]*>(.*?)</form>", self.page.text, re.DOTALL)
        assert found is not None, f"{self.page.url} has no form {action}"
        return {
            name: html.unescape(value)
            for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', found[1])
        }

    def stream(self) -> str:
        """Where the page that was looked at last hears of changes."""
        (found,) = re.findall(r'data-stream="([^"]+)"', self.page.text)
        return html.unescape(found)

    def __enter__(self) -> Visitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.http.close()
