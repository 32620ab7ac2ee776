"""``--inbox``: what ``listen`` has kept in a folder."""

from pathlib import Path
from typing import Final

from ..client import Inbox
from ..errors import SettingsError
from .options import own_option

INBOX: Final = own_option("inbox", "Folder where `listen --keep` stores results.")
SINCE: Final = own_option(
    "since",
    "Only results stored since then: an age such as 30m, 12h or 7d, or a time such as 2026-01-31T12:00Z.",
)
USUAL_INBOX: Final = "inbox"


def opened_inbox(folder: str) -> Inbox:
    """The inbox of that folder.

    Raises:
        SettingsError: there is none.
    """
    path = Path(folder)
    if not path.is_dir():
        raise SettingsError(
            f"--inbox: there is no folder {folder}; `truss-async listen --keep {folder}` makes it"
        )
    return Inbox(path)
