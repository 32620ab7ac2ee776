"""What a page is told by whoever starts the harness."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PageSettings:
    """``api_key`` is asked for once, None: anybody may look. With ``read_only``, the reason, nothing can be changed.

    ``shows_payloads``: model inputs and outputs are shown.
    ``keeps_results``: they can be sent again. ``is_virtual``: the clock stands until it is moved. ``batch_dir`` is where
    ledgers of batches are. ``check_address`` raises OSError for an IP address that nothing may be sent to from here.
    """

    api_key: str | None = None
    read_only: str | None = None
    shows_payloads: bool = False
    keeps_results: bool = False
    is_virtual: bool = False
    batch_dir: Path | None = None
    check_address: Callable[[str], None] | None = None
