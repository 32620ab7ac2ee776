"""What a page is told by whoever starts the harness."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PageSettings:
    """``api_key`` is asked for once, None: anybody may look. With ``read_only``, the reason, nothing can be changed.

    ``is_virtual``: the clock stands until it is moved.
    """

    api_key: str | None = None
    read_only: str | None = None
    is_virtual: bool = False
