"""The variables of options: ``TRUSS_ASYNC_<COMMAND>_<OPTION>``, and a short form where that can mean only one thing."""

import os
from typing import Final

from cyclopts import App, Token
from cyclopts.argument import Argument, ArgumentCollection

PREFIX: Final = "TRUSS_ASYNC_"
_ENVIRONMENT: Final = "env"


def variable(name: str) -> str:
    """The variable of an option, by its name or, where other commands have one of that name, by the command's and its own."""
    return f"{PREFIX}{name.upper()}"


def take_variables(_app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Give each option what the variable says that names the command, too; that one goes before the short form."""
    for argument in arguments:
        name = _full_name(commands, argument)
        if name not in os.environ or any(token.source != _ENVIRONMENT for token in argument.tokens):
            continue
        values = argument.env_var_split(os.environ[name])
        argument.tokens[:] = [
            Token(keyword=name, value=value, index=index, source=_ENVIRONMENT)
            for index, value in enumerate(values)
        ]


def _full_name(commands: tuple[str, ...], argument: Argument) -> str:
    """Nothing, of what is no option."""
    option = next((name for name in argument.names if name.startswith("--")), "")
    return variable("_".join([*commands, option[2:]]).replace("-", "_")) if option else ""
