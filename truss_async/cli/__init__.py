"""The command line."""

import sys


def main() -> None:
    """Run ``truss-async``; what it needs is loaded here, so that its absence is one line."""
    from .process_list import mask_secrets

    mask_secrets(sys.argv[1:])
    try:
        from .running import run
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("cyclopts", "rich"):
            raise
        from .extras import install_line

        sys.exit(f"truss-async's commands need {missing}: {install_line(sys.argv[1:])}")
    sys.exit(run(sys.argv[1:]))
