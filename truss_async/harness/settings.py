"""The options of the harness, each declared once: the flag, the environment variable and the help come from here."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from ..contract import limits
from ..contract.faults import FaultRule

DEFAULT_PORT = 8090

WebhookSchedule = Literal["current", "older"]
Durability = Literal["process", "full"]


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What the platform holds an organisation to; None: no limit. Open requests are queued or in progress."""

    async_calls_per_minute: int | None = limits.ASYNC_CALLS_PER_MINUTE
    status_calls_per_second: int | None = limits.STATUS_CALLS_PER_SECOND
    cancel_calls_per_second: int | None = limits.CANCEL_CALLS_PER_SECOND
    max_open_requests: int | None = limits.MAX_OPEN_REQUESTS


_PROFILES = {
    "current": CallLimits(),
    "older": CallLimits(
        status_calls_per_second=limits.OLDER_STATUS_CALLS_PER_SECOND,
        cancel_calls_per_second=limits.OLDER_CANCEL_CALLS_PER_SECOND,
        max_open_requests=limits.OLDER_MAX_OPEN_REQUESTS,
    ),
    "none": CallLimits(None, None, None, None),
}


PYTHON_ONLY = ("model",)
"""Fields that no command line and no file can give."""

_ID = r"^[A-Za-z0-9_]{1,64}$"


class DeploymentSettings(BaseModel):
    """One deployment: a truss folder, or the URL of a model server, and the names it is called by."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), validate_default=True)

    truss_dir: Path | None = Field(
        default=None,
        description="The truss to serve, a folder with a config.yaml; of several, the folder's name is the model id.",
    )
    model_url: AnyHttpUrl | None = Field(
        default=None, description="Serve the model server that answers here, instead of starting one."
    )
    model: Any = Field(
        default=None,
        repr=False,
        description="A Truss Model class, an object of one, or any callable, served without a process; in Python only.",
    )
    predict_concurrency: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Inputs that a model server at a URL gets at once; a truss says so itself, in its config.yaml.",
    )
    model_id: str = Field(
        default="local", pattern=_ID, description="Model id, in results and in the host model-{id}.…"
    )
    model_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Model name, in metrics; the model id by default.",
    )
    chain_id: str | None = Field(
        default=None,
        pattern=_ID,
        description="Serve the truss as the entry point of this chain, at the host chain-{id}.… and by the chain's words.",
    )
    deployment_id: str = Field(
        default="local1", pattern=_ID, description="Deployment id, in results and deployment/{id}."
    )
    environment: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = Field(
        default="production",
        description="The environment that the deployment is promoted to, besides development.",
    )
    replicas: int = Field(default=1, ge=1, le=64, description="Model server processes, at most.")
    min_replicas: int | None = Field(
        default=None,
        ge=0,
        le=64,
        description="Model server processes, at least: all, by default; 0 lets the model scale to zero.",
    )
    scale_down_delay_seconds: float = Field(
        default=900,
        ge=0,
        le=3600,
        description="Seconds for which fewer processes must have been enough before one is stopped.",
    )
    restart_threshold_seconds: float | None = Field(
        default=None,
        gt=0,
        description="Replace a replica whose health checks fail for so many seconds, instead of what config.yaml says.",
    )
    secrets_dir: Path | None = Field(
        default=None,
        description="Folder with one file per Truss secret, as production mounts it; TRUSS_SECRET_… works too.",
    )
    python: Path | None = Field(
        default=None, description="Python interpreter to run the truss with; installs nothing."
    )
    install: bool = Field(
        default=True,
        description="Install the truss's requirements into a cached environment when they are missing.",
    )
    cache_dir: Path | None = Field(
        default=None, description="Folder of the cached environments; the user's cache folder by default."
    )

    @property
    def serves_something(self) -> bool:
        """Whether it says what to serve."""
        return bool(self.truss_dir or self.model_url or self.model is not None)

    @property
    def name(self) -> str:
        """What it is called in metrics."""
        return self.model_name or self.model_id

    @property
    def served(self) -> str:
        """The model or chain that it is a deployment of, in words."""
        return f"model {self.model_id}" if self.chain_id is None else f"chain {self.chain_id}"

    @property
    def least_replicas(self) -> int:
        """So many replicas are never stopped."""
        return self.replicas if self.min_replicas is None else self.min_replicas

    @model_validator(mode="after")
    def _has_no_more_replicas_at_least_than_at_most(self) -> Self:
        if self.least_replicas > self.replicas:
            raise ValueError(
                f"min_replicas ({self.min_replicas}) must not be more than replicas ({self.replicas})"
            )
        return self

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if self.truss_dir and self.model_url:
            raise ValueError("give a truss folder or a model URL, not both")
        if self.model is not None:
            if self.truss_dir or self.model_url:
                raise ValueError("give a model, or where one is, not both")
            if not callable(self.model) and not hasattr(self.model, "predict"):
                raise ValueError(f"no model, for it has no predict and cannot be called: {self.model!r}")
        return self


class HarnessSettings(DeploymentSettings):
    """How to serve, and what: the one deployment that these settings describe, or each of ``deployments``."""

    deployments: tuple[DeploymentSettings, ...] = Field(
        default=(),
        description="Several deployments: a TOML file with a [[deployment]] table for each (truss_dir or model_url, model_id, …).",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(
        default=DEFAULT_PORT, ge=0, le=65535, description="Port to listen on; 0 picks a free one."
    )
    state_dir: Path | None = Field(
        default=None, description="Folder of the durable queue; without one, requests end with the harness."
    )
    durability: Durability = Field(
        default="process",
        description="What an accepted request survives: the end of the process, or (full) of the machine, at a price.",
    )
    virtual_clock: bool = Field(
        default=False, description="Let time stand still until POST /_harness/clock moves it."
    )
    webhook_secrets: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
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
    api_key: str | None = Field(
        default=None, min_length=1, description="The key callers must send; without one, any key will do."
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
    max_open_requests: int | None = Field(
        default=None,
        ge=1,
        description="Requests queued or in progress at once, instead of what --limits says.",
    )

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
    def _says_what_to_serve(self) -> "HarnessSettings":
        if self.deployments and self.serves_something:
            raise ValueError("give one deployment, or several of them, not both")
        if not self.store_gate and any(rule.kind.is_of_store for rule in self.faults):
            raise ValueError("faults of the store cannot strike without the store gate")
        for deployment in self.all_deployments:
            if not deployment.serves_something:
                raise ValueError("give a truss folder or a model URL")
        _refuse_repeated("deployment id", [each.deployment_id for each in self.all_deployments])
        _refuse_repeated(
            "environment", [f"{each.environment} of {each.served}" for each in self.all_deployments]
        )
        return self


def _refuse_repeated(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two deployments have the {what} {name}; each needs its own")
