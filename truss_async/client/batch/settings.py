"""What a batch is told, once; the ledger keeps it for those who go on."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from typing_extensions import Self

from ...contract import limits
from ...contract.requests import check_webhook_endpoint
from .pace import USUAL_RATE

MAX_OPEN = limits.OLDER_MAX_OPEN_REQUESTS
"""By default as many as any organisation may have, which leaves room for other batches."""


class BatchSettings(BaseModel):
    """One batch: where its lines come from, where they are submitted, where results are found and written to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: str = Field(
        description="Inputs: a JSONL file (.gz and .zst, too), a Parquet file, a URL, or - for standard input."
    )
    out: str = Field(
        description="JSONL file for the results, in the output format of OpenAI's Batch API. Can also be .gz, .zst, .parquet or a URL."
    )
    errors: str | None = Field(
        default=None,
        description="JSONL file for the failed lines and their errors. By default, next to the output.",
    )
    ledger: Path | None = Field(
        default=None, description="SQLite file with the state of the batch. By default, next to the output."
    )
    url: str = Field(description="The model, or a harness.")
    target: str = Field(
        default="production", description="production, development, environments/ENV or deployment/ID."
    )
    store: str | None = Field(
        default=None, description="Read results from this output store. The model needs the plugin."
    )
    inbox: str | None = Field(
        default=None,
        description="Read results from this folder of `listen --keep` or file of `on_result`. Needs --webhook-endpoint.",
    )
    relay: str | None = Field(
        default=None,
        description="Receive results from the `listen --relay` at this URL, which is also the webhook endpoint.",
    )
    receive: bool = Field(
        default=False,
        description="Receive results by webhook on a free local port. The default for a harness on this machine.",
    )
    webhook_endpoint: Annotated[str | None, BeforeValidator(check_webhook_endpoint)] = Field(
        default=None,
        description="Webhook endpoint that the platform sends results to. Required with --inbox.",
    )
    bare: bool = Field(default=False, description="Treat every line as a model input, whatever its format.")
    max_open: int = Field(
        default=MAX_OPEN,
        ge=1,
        le=limits.MAX_OPEN_REQUESTS,
        description="Maximum number of queued and running requests.",
    )
    rate: float = Field(
        default=USUAL_RATE,
        gt=0,
        description="Maximum submissions per second. Slows down when the platform asks for it.",
    )
    priority: int = Field(
        default=limits.DEFAULT_PRIORITY,
        ge=limits.MIN_PRIORITY,
        le=limits.MAX_PRIORITY,
        description="0, 1 or 2; lower runs first.",
    )
    max_time_in_queue_seconds: int = Field(
        default=limits.MAX_TIME_IN_QUEUE_SECONDS,
        ge=limits.MIN_TIME_IN_QUEUE_SECONDS,
        le=limits.MAX_TIME_IN_QUEUE_SECONDS,
        description="Seconds in the queue after which a request expires.",
    )
    attempts: int = Field(
        default=3, ge=1, le=100, description="Maximum number of submissions per line, including the first."
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        description="Submit only this many lines. Run again without it to submit the rest.",
    )
    ordered: bool = Field(default=False, description="Write the output at the end, in input order.")
    durability: Literal["process", "full"] = Field(
        default="process",
        description="What the ledger survives: a crash of the process (process), or also of the machine (full, slower).",
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        given = [name for name in ("store", "inbox", "relay", "receive") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(
                f"results come from one place: give one of {', '.join('--' + each for each in given)}"
            )
        if not given:
            raise ValueError(
                "where are the results? give --store URL (the model has the plugin), --inbox FOLDER (of listen --keep), "
                "--relay URL (of listen --relay), or --receive (the harness can reach this machine)"
            )
        if self.inbox is not None and self.webhook_endpoint is None:
            raise ValueError("--inbox needs --webhook-endpoint: the URL at which its receiver listens")
        if self.receive and self.webhook_endpoint is not None:
            raise ValueError("--receive has a webhook endpoint of its own; leave out --webhook-endpoint")
        return self

    @property
    def request_defaults(self) -> dict[str, Any]:
        """Fields of every request that does not say otherwise."""
        defaults: dict[str, Any] = {
            "priority": self.priority,
            "max_time_in_queue_seconds": self.max_time_in_queue_seconds,
        }
        endpoint = self.webhook_endpoint or self.relay  # which receives webhooks at every path
        if endpoint is not None:
            defaults["webhook_endpoint"] = endpoint
        return defaults


class BatchFiles:
    """The files of a batch, by the names of its output and its ledger."""

    def __init__(self, settings: BatchSettings) -> None:
        self.ledger = settings.ledger or Path(_file_name(settings.out) + ".ledger")
        self.errors = settings.errors or _beside(settings.out)
        self.input_copy = self._beside_ledger("input")
        self.lock = self._beside_ledger("lock")
        self.results = self._beside_ledger("results")
        self.failures = self._beside_ledger("errors")

    def _beside_ledger(self, what: str) -> Path:
        return self.ledger.with_name(f"{self.ledger.name}.{what}")


def _file_name(out: str) -> str:
    """Of a URL, its last part: the ledger is a file of this machine."""
    return out.rpartition("/")[2] if "://" in out else out


def _beside(out: str) -> str:
    """``out.jsonl.gz`` → ``out.errors.jsonl.gz``"""
    folder, slash, name = out.rpartition("/")
    stem, dot, suffix = name.partition(".")
    return f"{folder}{slash}{stem}.errors{dot}{suffix or ''}"
