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
        raise ValueError(f"{given!a} is no duration; write it as 500ms, 2s or 1m")
    return float(written[1]) * _SECONDS[written[2]]


class DeploymentSettings(BaseModel):
    """One deployment: a truss folder, or the URL of a model server, and the names it is called by."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), validate_default=True)

    truss_dir: Path | None = Field(
        default=None,
        description="The truss to serve, a folder with a config.yaml.",
    )
    model_url: AnyHttpUrl | None = Field(
        default=None, description="Serve the model server that answers here, instead of starting one."
    )
    model: Any = Field(
        default=None,
        repr=False,
        description="A Truss Model class, an object of one, or any callable, served without a process; in Python only.",
    )
    chain: str | None = Field(
        default=None,
        description="The chain to serve: its Python file, and after a colon the class of its entry point if the file marks none.",
    )
    chainlets: Mapping[str, Mapping[str, Any]] = Field(
        default_factory=dict,
        description="Of a chain: what differs for single chainlets (replicas, model_url, …), by their class names.",
    )
    stub: Any = Field(
        default=None,
        repr=False,
        description="Answer in the model's place: JSON for always this output, echo, a file with lines of input and output, "
        "or examples, for those of the truss, whose config counts and whose model is not run.",
    )
    latency_seconds: Annotated[float, BeforeValidator(as_seconds)] = Field(
        default=0, ge=0, le=86_400, description="How long a stub takes for an answer, such as 2s or 500ms."
    )
    fail_rate: float = Field(
        default=0, ge=0, le=1, description="The share of its calls that a stub fails, from 0 to 1."
    )
    fail_seed: int = Field(
        default=0, description="What that share is drawn from: the same seed, the same calls fail."
    )
    predict_concurrency: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Inputs that a model server at a URL gets at once; a truss says so itself, in its config.yaml.",
    )
    model_id: str = Field(
        default="",
        pattern=_ID_OR_NONE,
        description="Model id, in results and in the host model-{id}.…; by default the name of the folder (chain, host) or stub, "
        "in lower case with underscores.",
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
        description="Id of the chain, in the host chain-{id}.…: by default its name in lower case with underscores. A truss or a URL "
        "with one is served as the entry point of that chain, and called by a chain's words.",
    )
    deployment_id: str = Field(
        default="",
        pattern=_ID_OR_NONE,
        description="Deployment id, in results and deployment/{id}; by default the model id and a 1.",
    )
    source: str | None = Field(
        default=None,
        repr=False,
        description="What requests of this deployment are for, if that is not the folder or URL itself; in Python only.",
    )
    environment: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = Field(
        default="production",
        description="The environment that the deployment is promoted to; empty: none, and only its id or development name it.",
    )
    on_full: OnFull = Field(
        default="queue",
        description="What a sync call meets when no replica has room, or none runs: it waits (queue), or is answered 529 (reject).",
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
    autoscaling_window_seconds: float = Field(
        default=60,
        ge=10,
        le=3600,
        description="Seconds over which the load is averaged that the processes follow.",
    )
    concurrency_target: int = Field(
        default=1,
        ge=1,
        description="Requests that one process should have at once, before another is started.",
    )
    target_utilization: int = Field(
        default=70, ge=1, le=100, description="Percentage of the concurrency target that is made use of."
    )
    max_scale_down_rate: int = Field(
        default=50,
        ge=1,
        le=50,
        description="Percentage of the processes that are stopped at most within a window, though always one may be.",
    )
    reload: bool = Field(
        default=False,
        description="Let an edited truss take over once it is loaded; one that does not load leaves the model as it is.",
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
        default=None,
        description="Python interpreter to run the truss with, which installs nothing; or a version, such as 3.12, "
        "that is found on this machine.",
    )
    install: bool = Field(
        default=True,
        description="Install the truss's requirements into a cached environment when they are missing.",
    )
    cache_dir: Path | None = Field(
        default=None, description="Folder of the cached environments; the user's cache folder by default."
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
            raise SettingsError("there is no stub: give one, such as echo")
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
                raise ValueError("a latency and a fail rate are those of a stub: give one, too, such as echo")
            return self
        if self.chain:
            raise ValueError(
                "a chain has a stub for each chainlet that needs one: give it among its chainlets"
            )
        if self.model_url or self.model is not None:
            raise ValueError("give a stub or a model, not both: a stub answers in the model's place")
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
            raise ValueError("chainlets are those of a chain; give the chain, too")
        if self.model is not None:
            if self.truss_dir or self.model_url:
                raise ValueError("give a model, or where one is, not both")
            if not callable(self.model) and not hasattr(self.model, "predict"):
                raise ValueError(f"no model, for it has no predict and cannot be called: {self.model!r}")
        return self
