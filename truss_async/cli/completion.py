"""``truss-async completion``"""

from typing import Annotated, Literal

from cyclopts import Parameter

from ..errors import SettingsError
from ..printable import printable
from .options import flag

Shell = Literal["bash", "zsh", "fish"]


def completion(
    shell: Annotated[
        Shell | None, Parameter(name="SHELL", help="The shell. [default: the one that this runs in]")
    ] = None,
    /,
    *,
    install: Annotated[
        bool, flag("completion_install", "Write it where the shell looks, and have its startup file load it.")
    ] = False,
) -> None:
    """Print the script with which a shell completes commands, options and their values.

    Without --install, put what is printed where your shell looks for such scripts, or source it.

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
            print(f"installed in {printable(str(path))}; it works in shells that start from now on")
        else:
            print(app.generate_completion(shell=shell))
    except ShellDetectionError:
        raise SettingsError("this runs in no shell that is known; name it: bash, zsh or fish") from None
