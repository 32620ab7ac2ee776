"""From arguments to an exit code: 0, 1 when something failed, 2 when it was called wrongly, or that of a signal."""

import codecs
import contextlib
import io
import json
import os
import shlex
import sys
import traceback
from collections.abc import Sequence

from cyclopts import CycloptsError, UnusedCliTokensError

from ..errors import SettingsError, TrussAsyncError, UnsafeObjectKeyError
from ..printable import printable
from .app import make_app, select_command
from .extras import install_line

INTERRUPTED = 130  # what shells expect after Ctrl-C
READER_GONE = 141  # and of what a closed pipe has ended
_AS_JSON = "truss_async.as_json"
_FALSE = frozenset({"", "0", "false", "no", "off"})


def run(arguments: Sequence[str]) -> int:
    """Run one command. What goes wrong is one line on stderr, with a traceback above it only when asked for."""
    _write_what_cannot_be_encoded_as_json()
    tokens, debug = _take_debug(arguments)
    try:
        code = _call(tokens)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        explanation = _explain(error, tokens)
        if explanation is None:
            raise
        if debug:
            traceback.print_exception(error)
        code, line = explanation
        if line:
            _print_error(line)
    return code


def _write_what_cannot_be_encoded_as_json() -> None:
    """Let a standard output that is not UTF-8 take any text, and JSON stay JSON: U+00E9 is written ``\\u00e9`` there."""

    def escape(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        return json.dumps(error.object[error.start : error.end])[1:-1], error.end

    codecs.register_error(_AS_JSON, escape)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_AS_JSON)


def _call(tokens: list[str]) -> int:
    app = make_app()
    # Standard input: a lone hyphen would be taken for an option.
    tokens = ["@-" if word == "-" else word for word in tokens]
    select_command(app, tokens)
    app.suppress_keyboard_interrupt = False
    code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    return code if isinstance(code, int) else 0


def _explain(error: BaseException, tokens: Sequence[str]) -> tuple[int, str] | None:
    """The exit code and the line for an error that a user can do something about, if there is anything to say; None for a bug."""
    match error:
        case UnusedCliTokensError():
            return 2, f"too many arguments: {shlex.join(error.unused_tokens or [])}. See --help."
        case CycloptsError():
            return 2, f"{str(error).strip()} See --help."
        case SettingsError() | UnsafeObjectKeyError():
            return 2, str(error)
        case TrussAsyncError():
            return 1, str(error)
        case KeyboardInterrupt():
            return INTERRUPTED, ": ".join(["interrupted", *map(str, error.args)])
        case BrokenPipeError():
            _leave_stdout()
            return READER_GONE, ""  # `… | head` has what it wanted
        case ImportError():
            cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
            if cause.name is None or cause.name.startswith("truss_async"):
                return None
            return 1, f"this command needs {cause.name}: {install_line(tokens)}"
        case OSError():
            file = f"{error.filename}: " if error.filename is not None else ""
            return 1, f"{file}{error.strerror or error}"
    return None


def _take_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments without ``--debug``, which every command has; whether it, or its variable, was given."""
    tokens = list(arguments)
    options = tokens[: tokens.index("--")] if "--" in tokens else tokens
    wanted = os.environ.get("TRUSS_ASYNC_DEBUG", "").lower() not in _FALSE
    if "--debug" in options:
        wanted = True
        tokens.remove("--debug")
    return tokens, wanted


def _leave_stdout() -> None:
    """Let nothing more be written there, also not when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _print_error(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(f"truss-async: {printable(' '.join(line.split()))}", file=sys.stderr)
