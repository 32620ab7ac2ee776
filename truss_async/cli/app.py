"""The commands. Each one is a function in a module of its own, imported when it is called.

The docstring of a command is its help; the part from ``Example:`` on is shown last, below the options.
A command returns its exit code, None for 0.
"""

import inspect
import re
from collections.abc import Sequence

from cyclopts import App
from cyclopts.help import DefaultFormatter, PanelSpec
from rich.box import Box

from ..errors import SettingsError
from ..nearest import suggestion
from .variables import take_variables

# What the list of commands says, so that showing it loads none of them.
COMMANDS = {
    "init": "Create a working truss with tests and a webhook receiver.",
    "doctor": "Check this machine and a truss for problems.",
    "serve": "Serve a truss on this machine the way Baseten does.",
    "demo": "Run an end-to-end demo, from submitted pages to verified webhooks.",
    "submit": "Submit one async request.",
    "predict": "Call a model synchronously and print its output.",
    "wake": "Wake a model that is scaled to zero.",
    "batch": "Run a file of inputs through a model, and resume after interruptions.",
    "status": "Show the status of a request.",
    "cancel": "Cancel a request that is still queued.",
    "submit-again": "Submit a request again, as a new one.",
    "requests": "List the requests of a harness.",
    "show": "Show everything about a request.",
    "logs": "Print the log lines of the model.",
    "queue": "Show, pause, resume or clear the queue of a harness.",
    "clock": "Show or advance the clock of a harness.",
    "faults": "List, add or clear the faults that a harness injects.",
    "results": "Find, read, export and remove saved outputs.",
    "reconcile": "Find out which requests have a result and which are lost.",
    "redeliver": "Resend results with a new signature and timestamp.",
    "listen": "Receive webhooks: verify, store, print and forward them.",
    "events": "List, show and resend the webhooks that `listen` stored.",
    "test-webhook": "Test a webhook endpoint with valid and forged webhooks.",
    "secrets": "Create, list, rotate and remove the webhook secrets of a harness.",
    "package": "Copy the plugin into a truss, ready for `truss push`.",
    "cache": "List or remove cached truss environments.",
    "completion": "Set up shell completion.",
}

HELP = "Keep every async inference result on Baseten, and run the whole async path on this machine."
EPILOGUE = """Each command has --help with an example. Options can also be set by environment
variables: `listen --port` is TRUSS_ASYNC_LISTEN_PORT. --debug, or
TRUSS_ASYNC_DEBUG=1, prints the traceback of an error.

Example:
    truss-async serve path/to/truss"""

_ONE_LINE_BREAK = re.compile(r"(?<!\n)\n(?!\n)")
_NO_BORDER = Box("    \n" * 8)


def make_app() -> App:
    """The command line as one object; nothing of a command is loaded yet."""
    app = App(
        name="truss-async",
        help=HELP,
        help_epilogue=EPILOGUE,
        help_format="plaintext",
        help_formatter=DefaultFormatter(panel_spec=PanelSpec(box=_NO_BORDER, padding=(0, 0))),
        version=_version,
        version_flags=("--version", "-V"),
        config=(take_variables,),
    )
    for number, (name, summary) in enumerate(COMMANDS.items()):
        function = name.replace("-", "_")
        app.command(f"truss_async.cli.{function}:{function}", name=name, help=summary, sort_key=number)
    return app


def _version() -> str:
    from importlib.metadata import version  # slow to load, and seldom asked for

    return version("truss-async")


def select_command(app: App, tokens: Sequence[str]) -> None:
    """Load the command that is asked for, and move its example below its options."""
    _select(app, tokens, names=list(COMMANDS))


def _select(app: App, tokens: Sequence[str], *, names: Sequence[str]) -> None:
    if not tokens or tokens[0].startswith("-"):
        return
    name = tokens[0]
    if name not in names:
        raise SettingsError(f"unknown command {name!r}; {suggestion(name, names)}")
    command = app[name]
    inner = [each for each in command if not each.startswith("-")]
    if command.default_command is None or tokens[1:2] in [[each] for each in inner]:  # a group
        _select(command, tokens[1:], names=inner)
        return
    text, found, example = (inspect.getdoc(command.default_command) or "").partition("\n\nExample:")
    command.help = _ONE_LINE_BREAK.sub(" ", text)
    command.help_epilogue = "Example:" + example if found else ""
