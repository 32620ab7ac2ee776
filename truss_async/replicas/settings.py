"""What a deployment serves and how, each option declared once: the flag, the environment variable and the help come from here."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AnyHttpUrl, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator
from typing_extensions import Self

from ..errors import SettingsError, TrussAsyncError
from . import names

if TYPE_CHECKING:
    from .stub import StubAnswers

PYTHON_ONLY = ("model", "source")
"""Fields that no command line and no file can give."""
OF_A_CHAIN = ("chain", "chainlets")
"""Fields that say what chain to serve; a file has a table of its own for them."""

OnFull = Literal["queue", "reject"]
_CHAIN = re.compile(r"(?P<file>.+\.py)(?::(?P<entry_point>[^\W\d]\w*))?")
_ID = r"^[A-Za-z0-9_]{1,64}$"
_ID_OR_NONE = r"^[A-Za-z0-9_]{0,64}$"
_LONGEST = 64


def split_chain(text: str) -> tuple[Path, str | None] | None:
    """The file of a chain and the class of its entry point, from ``my_chain.py`` or ``my_chain.py:EntryPoint``; None: it is neither."""
    found = _CHAIN.fullmatch(text)
    return (Path(found["file"]), found["entry_point"]) if found else None


_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, None: 1}


def as_seconds(given: Any) -> Any:
    """A duration that a person writes, ``500ms``, ``2s``, ``1m``, in seconds; anything else as it is."""
    if not isinstance(given, str):
        return given
    written = _DURATION.fullmatch(given.strip())
    if written is None:
        raise ValueError(f"{given!a} is not a duration; write it as 500ms, 2s or 1m")
    return float(written[1]) * _SECONDS[written[2]]


class DeploymentSettings(BaseModel):
    """One deployment: a truss folder, or the URL of a model server, and the names it is called by."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), validate_default=True)

    truss_dir: Path | None = Field(
        default=None,
        description="Truss to serve (a folder with a config.yaml).",
    )
    model_url: AnyHttpUrl | None = Field(
        default=None, description="URL of a running model server to use, instead of starting one."
    )
    model: Any = Field(
        default=None,
        repr=False,
        description="A Truss Model class, an object of one, or any callable, served without a process; in Python only.",
    )
    chain: str | None = Field(
        default=None,
        description="Chain to serve: its Python file, followed by a colon and the entry point class if the file marks none.",
    )
    chainlets: Mapping[str, Mapping[str, Any]] = Field(
        default_factory=dict,
        description="Of a chain: what differs for single chainlets (replicas, model_url, …), by their class names.",
    )
    stub: Any = Field(
        default=None,
        repr=False,
        description="Answer without running a model. STUB is JSON (always this output), `echo`, a file of input "
        "and output lines, or `examples` (those in the truss; its config still applies).",
    )
    latency_seconds: Annotated[float, BeforeValidator(as_seconds)] = Field(
        default=0, ge=0, le=86_400, description="Time that a stub takes to answer, such as 2s or 500ms."
    )
    fail_rate: float = Field(
        default=0, ge=0, le=1, description="Share of calls that a stub fails, from 0 to 1."
    )
    fail_seed: int = Field(
        default=0, description="Random seed for --fail-rate. With the same seed, the same calls fail."
    )
    predict_concurrency: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Concurrent inputs for the model server at --model-url. A truss sets this in its config.yaml.",
    )
    model_id: str = Field(
        default="",
        pattern=_ID_OR_NONE,
        description="Model id, used in results and in the host name model-{id}.…. By default the name of the "
        "folder, chain, host or stub, in lower case with underscores.",
    )
    model_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Model name in metrics. By default the model id.",
    )
    chain_id: str | None = Field(
        default=None,
        pattern=_ID,
        description="Chain id, used in the host name chain-{id}.…. By default the chain's name in lower case "
        "with underscores. With this option, a truss or URL is served as the entry point of that chain, at the chain's routes.",
    )
    deployment_id: str = Field(
        default="",
        pattern=_ID_OR_NONE,
        description="Deployment id, used in results and in deployment/{id}. By default the model id followed by 1.",
    )
    source: str | None = Field(
        default=None,
        repr=False,
        description="What requests of this deployment are for, if that is not the folder or URL itself; in Python only.",
    )
    environment: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = Field(
        default="production",
        description="Environment that the deployment is promoted to. Empty: none; use its id or `development` to call it.",
    )
    on_full: OnFull = Field(
        default="queue",
        description="What to do with a sync call when no replica is free: let it wait (queue) or answer 529 (reject).",
    )
    replicas: int = Field(
        default=1,
        ge=0,
        le=64,
        description="Maximum number of model server processes. 0: none; requests are accepted, and wait for a harness that has some.",
    )
    min_replicas: int | None = Field(
        default=None,
        ge=0,
        le=64,
        description="Minimum number of model server processes. By default, the same as --replicas. 0 allows scaling to zero.",
    )
    scale_down_delay_seconds: float = Field(
        default=900,
        ge=0,
        le=3600,
        description="Seconds of lower load before a process is stopped.",
    )
    autoscaling_window_seconds: float = Field(
        default=60,
        ge=10,
        le=3600,
        description="Seconds over which autoscaling averages the load.",
    )
    concurrency_target: int = Field(
        default=1,
        ge=1,
        description="Concurrent requests per process before another is started.",
    )
    target_utilization: int = Field(
        default=70,
        ge=1,
        le=100,
        description="Percentage of the concurrency target at which autoscaling reacts.",
    )
    max_scale_down_rate: int = Field(
        default=50,
        ge=1,
        le=50,
        description="Maximum percentage of processes to stop within one window. One process can always be stopped.",
    )
    reload: bool = Field(
        default=False,
        description="Load the truss again when a file changes. If the new version does not load, the old one keeps running.",
    )
    restart_threshold_seconds: float | None = Field(
        default=None,
        gt=0,
        description="Seconds of failing health checks after which a replica is replaced. Overrides config.yaml.",
    )
    secrets_dir: Path | None = Field(
        default=None,
        description="Folder with one file per Truss secret, as in production. TRUSS_SECRET_… variables work, too.",
    )
    python: Path | None = Field(
        default=None,
        description="Python interpreter that runs the truss; nothing is installed into it. Or a version to look "
        "for on this machine, such as 3.12.",
    )
    install: bool = Field(
        default=True,
        description="Install missing requirements of the truss into a cached environment.",
    )
    cache_dir: Path | None = Field(
        default=None, description="Folder for cached environments. By default, the user's cache folder."
    )

    _stub_answers: "StubAnswers | None" = PrivateAttr(default=None)

    @property
    def serves_something(self) -> bool:
        """Whether it says what to serve."""
        return bool(
            self.truss_dir or self.model_url or self.chain or self.model is not None or self.stub is not None
        )

    @property
    def runs_truss(self) -> bool:
        """Whether model servers are started for it."""
        return self.truss_dir is not None and self.stub is None

    @property
    def stub_answers(self) -> "StubAnswers":
        """What the stub answers; SettingsError where there is none."""
        if self._stub_answers is None:
            raise SettingsError("no stub is given; give one, such as echo")
        return self._stub_answers

    @property
    def is_inner(self) -> bool:
        """Whether it is meant only where it is named: a chainlet that is not the entry point of its chain."""
        return False

    @property
    def name(self) -> str:
        """What it is called in metrics."""
        return self.model_name or self.model_id

    @property
    def served(self) -> str:
        """The model or chain that it is a deployment of, in words."""
        return f"model {self.model_id}" if self.chain_id is None else f"chain {self.chain_id}"

    @property
    def known_by(self) -> str:
        """What it is, to whoever serves from the same state folder later: a folder, a URL, a name in Python.

        A stub is not what it stands in for: what was accepted for that must not be answered by the stub.
        """
        if self.stub is not None:
            return names.stub_source(self._found_at, file=self.stub_answers.file)
        return self._found_at or names.model_source(self.model)

    @property
    def _found_at(self) -> str | None:
        if self.source is not None:
            return self.source
        if self.truss_dir is not None:
            return names.folder_source(self.truss_dir)
        return None if self.model_url is None else names.url_source(str(self.model_url))

    @property
    def least_replicas(self) -> int:
        """So many replicas are never stopped."""
        return self.replicas if self.min_replicas is None else self.min_replicas

    @model_validator(mode="after")
    def _has_ids(self) -> Self:
        # Not among the fields that were set: who goes by those may serve something else in its place.
        if not self.model_id:
            object.__setattr__(self, "model_id", self._natural_id)
        if not self.deployment_id and self.model_id:
            object.__setattr__(self, "deployment_id", f"{self.model_id[: _LONGEST - 1]}1")
        return self

    @property
    def _natural_id(self) -> str:
        if self.chain_id is not None:
            return self.chain_id
        if self.truss_dir is not None:
            return names.folder_id(self.truss_dir)
        if self.model_url is not None:
            return names.url_id(str(self.model_url))
        if self.stub is not None:
            return names.STUB_ID
        return "" if self.model is None else names.model_id(self.model)

    @model_validator(mode="after")
    def _has_no_more_replicas_at_least_than_at_most(self) -> Self:
        if self.least_replicas > self.replicas:
            raise ValueError(
                f"min_replicas ({self.min_replicas}) must not be more than replicas ({self.replicas})"
            )
        return self

    @model_validator(mode="after")
    def _has_a_stub_that_answers(self) -> Self:
        if self.stub is None:
            if self.latency_seconds or self.fail_rate:
                raise ValueError("a latency or fail rate needs a stub; give one, such as echo")
            return self
        if self.chain:
            raise ValueError("a chain has stubs per chainlet; give them under chainlets")
        if self.model_url or self.model is not None:
            raise ValueError("give a stub or a model, not both")
        from .stub import read_answers

        try:
            self._stub_answers = read_answers(self.stub, truss_dir=self.truss_dir)
        except TrussAsyncError as error:
            raise ValueError(f"stub: {error}") from None
        return self

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if self.truss_dir and self.model_url:
            raise ValueError("give a truss folder or a model URL, not both")
        if self.chain and (self.truss_dir or self.model_url or self.model is not None):
            raise ValueError("give a chain or a model, not both")
        if self.chainlets and not self.chain:
            raise ValueError("chainlets need a chain; give it, too")
        if self.model is not None:
            if self.truss_dir or self.model_url:
                raise ValueError("give a model object or a location, not both")
            if not callable(self.model) and not hasattr(self.model, "predict"):
                raise ValueError(
                    f"not a model, because it has no predict and is not callable: {self.model!r}"
                )
        return self
