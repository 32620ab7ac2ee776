"""The options of the harness, each declared once: the flag, the environment variable and the help come from here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
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
            raise ValueError("it is blank")
        return meant

    return AfterValidator(checked)


def _database(address: str) -> str:
    if not address.startswith(("postgresql://", "postgres://")):
        raise ValueError(
            "give the address of a database, postgresql://USER@HOST/DB; a folder is given with --state-dir"
        )
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
        description="Several deployments: a TOML file with a [[deployment]] table for each (truss_dir, model_url or stub, model_id, …).",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(
        default=DEFAULT_PORT, ge=0, le=65535, description="Port to listen on; 0 picks a free one."
    )
    state_dir: Path | None = Field(
        default=None, description="Folder of the durable queue; without one, requests end with the harness."
    )
    state: Annotated[str, AfterValidator(_database)] | None = Field(
        default=None,
        description="Instead, a PostgreSQL database that several harnesses share: postgresql://USER@HOST/DB; each runs what any of them accepted.",
    )
    state_schema: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")] = Field(
        default="truss_async", description="The schema in the database of --state; it is made if need be."
    )
    lease_seconds: float = Field(
        default=15,
        ge=1,
        le=3600,
        description="With --state: after so long without a sign of life, others take over what a harness worked on.",
    )
    adopt: bool = Field(
        default=False,
        description="Run what the state folder holds for an id on what is served by that id now, though it was for another truss.",
    )
    durability: Durability = Field(
        default="process",
        description="What an accepted request survives: the end of the process, or (full) of the machine, at a price.",
    )
    keep_results: Duration | None = Field(
        default=None,
        gt=timedelta(0),
        le=timedelta(days=366),
        description="Keep each result so long (30m, 1h) after its request is over, for `redeliver`. [default: erased at delivery]",
    )
    virtual_clock: bool = Field(
        default=False, description="Let time stand still until POST /_harness/clock moves it."
    )
    webhook_secrets: tuple[Secret, ...] = Field(
        default=(),
        description="Sign webhooks with this secret, too, newest first; may be given more than once, and is not kept.",
    )
    webhook_schedule: WebhookSchedule = Field(
        default="current",
        description="When webhooks are repeated: after 2 s (current), or after 1 s and 4 s (older).",
    )
    webhook_ca: Path | None = Field(
        default=None,
        description="PEM file of certificate authorities that HTTPS webhook endpoints may use, besides the system's.",
    )
    faults: tuple[FaultRule, ...] = Field(
        default=(),
        description="Faults to make: a TOML file, see docs/faults.md; more can be set while it runs.",
    )
    store_gate: bool = Field(
        default=True,
        description="Lead the replicas' own S3 or GCS endpoint through the harness, so that store faults can strike.",
    )
    allow_private_webhooks: bool = Field(
        default=False,
        description="Beyond loopback, too, send webhooks to addresses that are not public: this machine, its networks.",
    )
    sync_retries: bool = Field(
        default=True,
        description="Repeat sync calls that the model server answers 502, 503 or 504, or not at all, as the platform does.",
    )
    fail_fast: bool = Field(
        default=False,
        description="End, with 1, when a model does not load at first, instead of waiting for an edit: for CI.",
    )
    quiet: bool = Field(
        default=False, description="Log no line for each sync call and each async request that is over."
    )
    log_format: LogFormat = Field(
        default="text", description="How the log is written: text for people, or json, an object a line."
    )
    api_key: ApiKey | None = Field(
        default=None, min_length=1, description="The key callers must send; without one, any key will do."
    )
    allow_hosts: tuple[Annotated[str, AfterValidator(allowed_name)], ...] = Field(
        default=(),
        description="Without --api-key, let calls come by this host name, too, and from pages of it; *.example.com is all below it.",
    )
    limits: Literal["current", "older", "none"] = Field(
        default="current",
        description="The limits on calls: the platform's, those it published before, or none.",
    )
    async_calls_per_minute: int | None = Field(
        default=None, ge=1, description="Async calls answered in a minute, instead of what --limits says."
    )
    status_calls_per_second: int | None = Field(
        default=None, ge=1, description="Status calls answered in a second, instead of what --limits says."
    )
    cancel_calls_per_second: int | None = Field(
        default=None, ge=1, description="Cancel calls answered in a second, instead of what --limits says."
    )
    queue_status_calls_per_second: int | None = Field(
        default=None,
        ge=1,
        description="Queue status calls answered in a second, instead of what --limits says.",
    )
    max_open_requests: int | None = Field(
        default=None,
        ge=1,
        description="Requests queued or in progress at once, instead of what --limits says.",
    )

    page: bool = Field(
        default=True, description="Serve pages for people at /_harness/, where a browser that opens / is led."
    )
    page_payloads: bool = Field(default=False, description="Show model inputs and outputs on the pages, too.")
    batch_dir: Path | None = Field(
        default=None, description="Folder of batch ledgers that the pages show, such as results.jsonl.ledger."
    )
    page_readonly: bool = Field(default=False, description="Let nothing be changed on the pages.")

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
            raise ValueError("faults of the store cannot strike without the store gate")
        if self.state is not None and self.virtual_clock:
            raise ValueError(
                "a database that several harnesses share goes by its own clock, which nobody moves: "
                "give --virtual-clock or --state, not both"
            )
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
