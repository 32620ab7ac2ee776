"""``--inbox``: what ``listen`` has kept in a folder."""

from pathlib import Path
from typing import Final

from ..client import Inbox
from ..errors import SettingsError
from .options import own_option

INBOX: Final = own_option("inbox", "The folder that `listen --keep` keeps results in.")
SINCE: Final = own_option(
    "since", "Only what was kept, or saved, since: 30m, 12h, 7d ago, or a moment such as 2026-01-31T12:00Z."
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
