"""Where results are: the options of every command on an output store."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from cyclopts import Parameter

from ..clock import SYSTEM_CLOCK
from ..contract.moments import moment
from ..errors import SettingsError
from ..stores import OutputStore
from ..stores.layout import DEFAULT_KEY
from ..stores.output_store import Format
from ..stores.schemes import EXAMPLES
from .options import own_option
from .store_option import STORE, check_there
from .variables import variable

Since = Annotated[
    str | None,
    own_option(
        "results_since",
        "Only results written since then: an age such as 30m, 12h or 7d, or a time such as 2026-01-31T12:00Z.",
    ),
]


def _setting(name: str, help_text: str = "") -> Parameter:
    """An option with the variable of the plugin's setting."""
    text = help_text or f"Value of {{{name}}} in the URL or key."
    return Parameter(help=text, env_var=variable(f"output_{name}"))


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StoreLocation:
    """Where the results are, in the words of the plugin's settings."""

    store: Annotated[
        str,
        Parameter(
            name="--store",
            help=f"Output store: a folder, or a URL ({EXAMPLES}, …); cloud credentials come from the environment, a profile or a role.",
            env_var=(variable("store"), variable("output_url")),
        ),
        STORE,
    ]
    key: Annotated[str, _setting("key", "Object key, if the model does not use the default.")] = DEFAULT_KEY
    format: Annotated[Format, _setting("format", "Content of the objects: the model's `format` setting.")] = (
        "result"
    )
    model_id: Annotated[str | None, _setting("model_id")] = None
    deployment_id: Annotated[str | None, _setting("deployment_id")] = None
    environment: Annotated[str | None, _setting("environment")] = None

    def open(self, *, table: str | None = None, must_exist: bool = False) -> OutputStore:
        """The store; what is unknown of URL and key, such as {date}, is looked for.

        Raises:
            SettingsError: it cannot be one, or is a folder that is not there and must be.
        """
        if must_exist:
            check_there(self.store)
        return OutputStore.from_url(
            self.store,
            key=self.key,
            format=self.format,
            model_id=self.model_id,
            deployment_id=self.deployment_id,
            environment=self.environment,
            table=table,
        )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TableLocation(StoreLocation):
    """The same for a command whose --format is that of what it writes."""

    format: Annotated[
        Format,
        Parameter(
            name="--object-format",
            help="Content of the objects: the model's `format` setting.",
            env_var=(variable("object_format"), variable("output_format")),
        ),
    ] = "result"


def earliest(since: str) -> datetime:
    """The moment that is meant; SettingsError when it is none."""
    try:
        return moment(since, now=SYSTEM_CLOCK.now())
    except ValueError as error:
        raise SettingsError(f"--since: {error}") from None
