"""Which extra a command needs; known without loading any of it."""

from collections.abc import Sequence
from typing import Final

from ..stores.schemes import LIBRARIES

_USUAL: Final = "cli"
_OF_COMMANDS: Final = {
    "cache": "harness",
    "demo": "demo",
    "doctor": "harness",
    "package": "harness",
    "serve": "harness",
}


def install_line(arguments: Sequence[str]) -> str:
    """What to type so that the command works: its own extra, and that of each cloud whose URL it is given."""
    command = next((word for word in arguments if not word.startswith("-")), "")
    extras = [_OF_COMMANDS.get(command, _USUAL)]
    schemes = [word.partition("://")[0].rpartition("=")[2] for word in arguments if "://" in word]
    extras += [LIBRARIES[scheme][1] for scheme in schemes if scheme in LIBRARIES]
    return f"pip install 'truss-async[{','.join(dict.fromkeys(extras))}]'"
