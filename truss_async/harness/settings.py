"""The options of the harness, each declared once: the flag, the environment variable and the help come from here."""

from pathlib import Path
from typing import Annotated

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, model_validator

DEFAULT_PORT = 8090


class HarnessSettings(BaseModel):
    """What to serve, and how. One model per harness: a truss folder, or the URL of a model server."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), validate_default=True)

    truss_dir: Path | None = Field(None, description="The truss to serve: a folder with a config.yaml.")
    model_url: AnyHttpUrl | None = Field(
        None, description="Serve the model server that answers here, instead of starting one."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(DEFAULT_PORT, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    model_id: str = Field(
        "local",
        pattern=r"^[A-Za-z0-9_]{1,64}$",
        description="Model id, in results and in the host model-{id}.…",
    )
    chain_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_]{1,64}$",
        description="Serve the truss as the entry point of this chain, at the host chain-{id}.… and by the chain's words.",
    )
    deployment_id: str = Field(
        "local1",
        pattern=r"^[A-Za-z0-9_]{1,64}$",
        description="Deployment id, in results and deployment/{id}.",
    )
    environment: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = Field(
        "production", description="The environment that the deployment is promoted to, besides development."
    )
    replicas: int = Field(1, ge=1, le=64, description="Model server processes.")
    state_dir: Path | None = Field(
        None, description="Folder of the durable queue; without one, requests end with the harness."
    )
    webhook_secrets: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="Sign webhooks with this secret, newest first; may be given more than once."
    )
    api_key: str | None = Field(
        None, min_length=1, description="The key callers must send; without one, any key will do."
    )
    secrets_dir: Path | None = Field(
        None,
        description="Folder with one file per Truss secret, as production mounts it; TRUSS_SECRET_… works too.",
    )
    python: Path | None = Field(
        None, description="Python interpreter to run the truss with; installs nothing."
    )
    install: bool = Field(
        True, description="Install the truss's requirements into a cached environment when they are missing."
    )
    cache_dir: Path | None = Field(
        None, description="Folder of the cached environments; the user's cache folder by default."
    )

    @model_validator(mode="after")
    def _exactly_one_model(self) -> "HarnessSettings":
        if (self.truss_dir is None) == (self.model_url is None):
            raise ValueError("give a truss folder or a model URL, one of them")
        return self
