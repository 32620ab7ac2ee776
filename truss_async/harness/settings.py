"""The options of the harness, each declared once: the flag, the environment variable and the help come from here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AnyHttpUrl, BeforeValidator, Field, model_validator
from typing_extensions import Self

from ..contract import limits
from ..contract.faults import FaultRule
from ..contract.moments import duration
from ..contract.own_names import allowed_name
from ..contract.webhook_urls import is_loopback
from ..errors import SettingsError
from ..pasted import as_api_key, as_meant
from ..replicas.settings import DeploymentSettings

DEFAULT_PORT = 8090

WebhookSchedule = Literal["current", "older"]
Durability = Literal["process", "full"]
LogFormat = Literal["text", "json"]


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What the platform holds an organisation to; None: no limit. Open requests are queued or in progress."""

    async_calls_per_minute: int | None = limits.ASYNC_CALLS_PER_MINUTE
    status_calls_per_second: int | None = limits.STATUS_CALLS_PER_SECOND
    cancel_calls_per_second: int | None = limits.CANCEL_CALLS_PER_SECOND
    queue_status_calls_per_second: int | None = limits.QUEUE_STATUS_CALLS_PER_SECOND
    max_open_requests: int | None = limits.MAX_OPEN_REQUESTS


_PROFILES = {
    "current": CallLimits(),
    "older": CallLimits(
        status_calls_per_second=limits.OLDER_STATUS_CALLS_PER_SECOND,
        cancel_calls_per_second=limits.OLDER_CANCEL_CALLS_PER_SECOND,
        max_open_requests=limits.OLDER_MAX_OPEN_REQUESTS,
    ),
    "none": CallLimits(None, None, None, None, None),
}


def _pasted(read: Callable[[str], str]) -> AfterValidator:
    """What was pasted, as it was meant."""

    def checked(text: str) -> str:
        try:
            meant = read(text)
        except SettingsError as error:
            raise ValueError(str(error)) from None
        if not meant:
            raise ValueError("it is empty")
        return meant

    return AfterValidator(checked)


def _database(address: str) -> str:
    if not address.startswith(("postgresql://", "postgres://")):
        raise ValueError("give a database URL, postgresql://USER@HOST/DB; for a folder, use --state-dir")
    return address


ApiKey = Annotated[str, _pasted(as_api_key)]
Duration = Annotated[
    timedelta, BeforeValidator(lambda value: duration(value) if isinstance(value, str) else value)
]
Secret = Annotated[str, Field(min_length=1), _pasted(partial(as_meant, what="a webhook secret"))]


class HarnessSettings(DeploymentSettings):
    """How to serve, and what: the one deployment that these settings describe, or each of ``deployments``."""

    deployments: tuple[DeploymentSettings, ...] = Field(
        default=(),
        description="TOML file that lists several deployments, each a [[deployment]] table (truss_dir, model_url or stub, model_id, …).",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(
        default=DEFAULT_PORT, ge=0, le=65535, description="Port to listen on; 0 picks a free one."
    )
    state_dir: Path | None = Field(
        default=None,
        description="Folder of the durable queue. Without one, requests are lost when the harness stops.",
    )
    state: Annotated[str, AfterValidator(_database)] | None = Field(
        default=None,
        description="PostgreSQL database to use instead of a folder, shared by several harnesses: postgresql://USER@HOST/DB. Each harness runs requests that any of them accepted.",
    )
    state_schema: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")] = Field(
        default="truss_async",
        description="Schema in the --state database. It is created if it does not exist.",
    )
    lease_seconds: float = Field(
        default=15,
        ge=1,
        le=3600,
        description="With --state: seconds without a heartbeat after which other harnesses take over a harness's requests.",
    )
    node_url: AnyHttpUrl | None = Field(
        default=None,
        description="With --state: URL at which the other harnesses on the database call this one. By default, the address that it listens on.",
    )
    adopt: bool = Field(
        default=False,
        description="Run queued requests on the truss served now, even if they were accepted for another truss with the same id.",
    )
    durability: Durability = Field(
        default="process",
        description="What an accepted request survives: a crash of the process (process), or also of the machine (full, slower).",
    )
    keep_results: Duration | None = Field(
        default=None,
        gt=timedelta(0),
        le=timedelta(days=366),
        description="How long to keep each result for `redeliver`, such as 30m or 1h. [default: deleted on delivery]",
    )
    virtual_clock: bool = Field(
        default=False, description="Stop the clock. `truss-async clock advance` moves it."
    )
    webhook_secrets: tuple[Secret, ...] = Field(
        default=(),
        description="Webhook secret to sign with; repeat for several, newest first. It is not stored.",
    )
    webhook_schedule: WebhookSchedule = Field(
        default="current",
        description="When failed webhooks are retried: after 2 s (current), or after 1 s and 4 s (older).",
    )
    webhook_ca: Path | None = Field(
        default=None,
        description="PEM file of extra certificate authorities to trust for HTTPS webhook endpoints.",
    )
    faults: tuple[FaultRule, ...] = Field(
        default=(),
        description="TOML file of faults to inject; see docs/faults.md. `truss-async faults` can add more later.",
    )
    store_gate: bool = Field(
        default=True,
        description="Route the replicas' S3 or GCS calls to a custom endpoint through the harness, so that it can inject store faults.",
    )
    allow_private_webhooks: bool = Field(
        default=False,
        description="Allow webhooks to private addresses when --host is not a loopback address.",
    )
    sync_retries: bool = Field(
        default=True,
        description="Retry sync calls when the model server answers 502, 503 or 504, or not at all, as the platform does.",
    )
    fail_fast: bool = Field(
        default=False,
        description="Exit with 1 if a model does not load at startup, instead of waiting for an edit. For CI.",
    )
    quiet: bool = Field(default=False, description="Do not log completed calls and requests.")
    log_format: LogFormat = Field(
        default="text", description="Log format: text, or json (one object per line)."
    )
    api_key: ApiKey | None = Field(
        default=None,
        min_length=1,
        description="API key that callers must send. Without it, any key is accepted.",
    )
    allow_hosts: tuple[Annotated[str, AfterValidator(allowed_name)], ...] = Field(
        default=(),
        description="Without --api-key: another host name to accept calls for, also from its web pages. *.example.com covers all subdomains.",
    )
    limits: Literal["current", "older", "none"] = Field(
        default="current",
        description="Rate limits: the platform's current ones, its older ones, or none.",
    )
    async_calls_per_minute: int | None = Field(
        default=None, ge=1, description="Async calls per minute. Overrides --limits."
    )
    status_calls_per_second: int | None = Field(
        default=None, ge=1, description="Status calls per second. Overrides --limits."
    )
    cancel_calls_per_second: int | None = Field(
        default=None, ge=1, description="Cancel calls per second. Overrides --limits."
    )
    queue_status_calls_per_second: int | None = Field(
        default=None,
        ge=1,
        description="Queue status calls per second. Overrides --limits.",
    )
    max_open_requests: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of queued and running requests. Overrides --limits.",
    )

    page: bool = Field(
        default=True, description="Serve the web pages at /_harness/; / redirects browsers there."
    )
    page_payloads: bool = Field(default=False, description="Show model inputs and outputs on the web pages.")
    batch_dir: Path | None = Field(
        default=None,
        description="Folder of batch ledgers (such as results.jsonl.ledger) to show on the web pages.",
    )
    page_readonly: bool = Field(default=False, description="Make the web pages read-only.")

    @property
    def guards_webhooks(self) -> bool:
        """Whether webhooks go to public addresses alone: others than who owns this machine may call."""
        return not (self.allow_private_webhooks or is_loopback(self.host))

    @property
    def call_limits(self) -> CallLimits:
        """The limits in force: those of the profile, where no option says otherwise."""
        own = {field.name: getattr(self, field.name) for field in fields(CallLimits)}
        return replace(
            _PROFILES[self.limits], **{name: value for name, value in own.items() if value is not None}
        )

    @property
    def all_deployments(self) -> tuple[DeploymentSettings, ...]:
        """Every deployment that is served."""
        return self.deployments or (self,)

    @model_validator(mode="after")
    def _says_what_to_serve(self) -> Self:
        if self.deployments and self.serves_something:
            raise ValueError("give one deployment, or several of them, not both")
        if not self.store_gate and any(rule.kind.is_of_store for rule in self.faults):
            raise ValueError("store faults need the store gate")
        if self.state is not None and self.virtual_clock:
            raise ValueError(
                "a shared database uses its own clock, which cannot be moved; give --virtual-clock or --state, "
                "not both"
            )
        if self.state is None and self.node_url is not None:
            raise ValueError("a node URL is for harnesses that share a database; give --state, too")
        for deployment in self.all_deployments:
            if not deployment.serves_something:
                raise ValueError("give a truss folder, a chain, a model URL or a stub")
        _check_names([each for each in self.all_deployments if each.chain is None])
        return self

    def serving(self, deployments: tuple[DeploymentSettings, ...]) -> Self:
        """The same for these deployments, which its own have come to.

        Raises:
            SettingsError: two of them have one name.
        """
        try:
            _check_names(deployments)
        except ValueError as error:
            raise SettingsError(str(error)) from None
        return self.model_copy(update={"deployments": deployments, "chain": None, "chainlets": {}})


def _check_names(deployments: Sequence[DeploymentSettings]) -> None:
    _refuse_repeated("deployment id", [each.deployment_id for each in deployments])
    _refuse_repeated(
        "environment",
        [
            f"{each.environment} of {each.served}"
            for each in deployments
            if each.environment and not each.is_inner
        ],
    )


def _refuse_repeated(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two deployments have the {what} {name}; each needs its own")
