"""The output of a request, for commands: from a webhook of their own or from the output store, to where it is wanted."""

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from cyclopts import Parameter

from ..contract import AsyncPredictResult, AsyncRequestStatus, RequestStatus
from ..contract.json_text import write
from ..contract.webhook_urls import is_loopback
from ..errors import ApiError, SettingsError
from ..printable import printable
from ..stores.result_objects import references_in
from ..whole_files import write_whole
from .options import print_json
from .store_option import STORE
from .variables import variable

if TYPE_CHECKING:
    from ..webhooks import WebhookReceiver

_WEBHOOK_SECONDS = 10
_STORE_SECONDS = 60
OUTPUT_FILE = "output.json"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class OutputWanted:
    """Whether the output is wanted, and where it comes from and goes to."""

    output: Annotated[
        bool,
        Parameter(
            name="--output",
            negative="",
            show_default=False,
            env_var=variable("submit_output"),
            help="Wait, then print only the output, as JSON, to standard output.",
        ),
    ] = False
    output_file: Annotated[
        Path | None,
        Parameter(
            name=("-o", "--output-file"),
            env_var=variable("submit_output_file"),
            help="Wait, then write the output to this file, or the output and its artifacts to this folder.",
        ),
    ] = None
    store: Annotated[
        str | None,
        Parameter(
            name="--store",
            env_var=(variable("submit_store"), variable("store")),
            help="Output store to read the output from: a folder or a URL. [default: the command receives it by webhook]",
        ),
        STORE,
    ] = None

    @property
    def is_wanted(self) -> bool:
        """Whether anybody asked for it."""
        return self.output or self.output_file is not None

    @contextmanager
    def source(self, *, url: str, webhook_endpoint: str | None) -> Iterator["OutputSource"]:
        """Where the output will come from; it is there before the request is made.

        Raises:
            SettingsError: it could come from nowhere.
        """
        if self.store is not None or not self.is_wanted:
            yield OutputSource(webhook_endpoint, store=self.store)
            return
        if webhook_endpoint is not None:
            raise SettingsError("the output goes to --webhook-endpoint; give --store, too, or leave it out")
        if not is_loopback(urlsplit(url).hostname or ""):
            raise SettingsError(f"{url} cannot reach this machine with the output; give --store URL")

        from ..webhooks import WebhookReceiver

        with WebhookReceiver() as receiver:
            path = f"/{secrets.token_urlsafe(16)}"  # which nobody else on this machine knows
            yield OutputSource(f"{receiver.url.rstrip('/')}{path}", receiver=receiver, path=path)

    def hand_over(self, result: AsyncPredictResult) -> None:
        """Print it, or write it, as it was asked for."""
        text = write(result.data)
        if self.output:
            print_json(text.decode())
        if self.output_file is None:
            return
        if self.output_file.is_dir():
            write_whole(self.output_file / OUTPUT_FILE, text)
            _copy_artifacts(result, into=self.output_file)
        else:
            write_whole(self.output_file.resolve(), text)


NO_OUTPUT = OutputWanted()


@dataclass(frozen=True)
class OutputSource:
    """Gives the output of a request that was made with its ``webhook_endpoint``."""

    webhook_endpoint: str | None
    store: str | None = None
    receiver: "WebhookReceiver | None" = None
    path: str = ""

    def result_of(self, status: AsyncRequestStatus) -> AsyncPredictResult:
        """The result of a request that succeeded.

        Raises:
            ApiError: it did not, or the output did not come.
        """
        if status.status is not RequestStatus.SUCCEEDED:
            reason = f": {status.errors[0].code}: {status.errors[0].message}" if status.errors else ""
            raise ApiError(f"request {status.request_id} has no output, it is {status.status.value}{reason}")
        if self.receiver is None:
            from ..stores import OutputStore

            outputs = OutputStore.from_url(self.store or "")
            return outputs.wait(status.request_id, timeout_seconds=_STORE_SECONDS)
        try:
            delivery = self.receiver.wait_for(status.request_id, timeout_seconds=_WEBHOOK_SECONDS)
        except TimeoutError as error:
            raise ApiError(str(error)) from None
        if delivery.path != self.path:
            raise ApiError(f"the output of {status.request_id} came from somebody else than the harness")
        return delivery.result


def _copy_artifacts(result: AsyncPredictResult, *, into: Path) -> None:
    from ..stores import OutputStore

    for reference in references_in(result.data):
        base, found, name = reference.url.rpartition(f"/{result.request_id}/")
        if not found:
            base, _, name = reference.url.rpartition("/")
        with OutputStore.from_url(base).open_artifact(reference) as source:
            path = into / name.rpartition("/")[2]
            write_whole(path, source)
        print(f"artifact in {printable(str(path))}", file=sys.stderr)


def output_text(data: Any) -> str:
    """An output as JSON on one line."""
    return write(data).decode()
