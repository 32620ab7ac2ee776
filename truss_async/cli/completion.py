"""``truss-async completion``"""

from typing import Annotated, Literal

from cyclopts import Parameter

from ..errors import SettingsError
from ..printable import printable
from .options import flag

Shell = Literal["bash", "zsh", "fish"]


def completion(
    shell: Annotated[
        Shell | None, Parameter(name="SHELL", help="The shell. [default: the current one]")
    ] = None,
    /,
    *,
    install: Annotated[
        bool, flag("completion_install", "Install the script and load it in the shell's startup file.")
    ] = False,
) -> None:
    """Print a shell completion script for commands, options and values.

    Without --install, save the output where your shell looks for completion scripts, or source it.

    Example:
        truss-async completion bash
        truss-async completion zsh --install
    """
    from cyclopts.completion.detect import ShellDetectionError

    from .app import make_app

    app = make_app()
    try:
        if install:
            path = app.install_completion(shell=shell)
            print(f"installed in {printable(str(path))}; open a new shell to use it")
        else:
            print(app.generate_completion(shell=shell))
    except ShellDetectionError:
        raise SettingsError("cannot tell which shell this is; give bash, zsh or fish") from None
