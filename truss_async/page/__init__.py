"""The pages of a harness, for people: rendered from what its own calls answer, and good without JavaScript.

A page knows nothing of the harness but its HTTP API, which it asks from inside the process, so that pages, commands and
clients show the same.
"""

from .app import Page
from .asking import Ask
from .settings import PageSettings

__all__ = ["Ask", "Page", "PageSettings"]
