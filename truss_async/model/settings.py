"""How outputs are saved: one typed object, from arguments, attributes, environment variables or config.yaml."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from ..contract.output_variables import LOCAL_OUTPUT_URL
from ..errors import SettingsError, reasons
from ..nearest import suggestion
from ..stores.templates import check_key, check_url

if TYPE_CHECKING:
    from ..stores import StoreOptions

ENVIRONMENT_PREFIX = "TRUSS_ASYNC_OUTPUT_"
ATTRIBUTE_PREFIX = "output_"
CONFIG_SECTION = "model_metadata.async_output"


class OutputSettings(BaseModel):
    """Where and how the outputs of a model are saved."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())

    url: str = Field(
        description="The output store, such as s3://my-bucket/outputs; may hold {model_id}, {deployment_id}, "
        "{environment} and {date:%Y/%m/%d}."
    )
    key: str = Field(
        default="{request_id}.json",
        description="The object key of a result; must hold {request_id}, may hold what the URL may. Artifacts lie "
        "beside it, in a folder named by the request id.",
    )
    local: bool = Field(
        default=False,
        description="Whether the harness saves outputs in a local folder instead. No effect elsewhere.",
    )
    model_id: str | None = Field(
        default=None, description="Written into each result. The container does not know it."
    )
    deployment_id: str | None = Field(
        default=None, description="Written into each result. The container does not know it."
    )
    format: Literal["result", "raw"] = Field(
        default="result",
        description="Content of the objects: the async predict result, like the webhook body (result), or only the output (raw).",
    )
    respond_with: Literal["output", "reference"] = Field(
        default="output",
        description="What the response and the webhook contain: the output, or a reference to it.",
    )
    compression: Literal["none", "gzip", "zstd"] = Field(
        default="none", description="Compression of result objects."
    )
    overwrite: bool = Field(
        default=True,
        description="Whether a second output for the same request id replaces the first. If not, the first is "
        "kept and returned.",
    )
    save_errors: bool = Field(
        default=True,
        description="Whether to save the error of a request that failed in the model.",
    )
    storage_class: str | None = Field(
        default=None, description="Storage class of the objects, as the cloud names it."
    )
    kms_key_id: str | None = Field(
        default=None, description="Encryption key of the objects, as the cloud names it."
    )
    tags: dict[str, str] = Field(default={}, description="Tags of the objects, if the cloud supports them.")
    headers: dict[str, str] = Field(
        default={}, description="HTTP headers of each object, such as Cache-Control."
    )
    on_failure: Literal["raise", "spill", "log"] = Field(
        default="raise",
        description="What to do when the store cannot be written: fail the request, so that the platform may "
        "retry it; keep the output in a local folder until the store is back; or answer anyway and log it, unless an artifact would be lost.",
    )
    timeout_seconds: float = Field(
        default=30.0,
        ge=0,
        description="How long to retry writing one output. An attempt in progress is completed.",
    )
    spill_dir: str | None = Field(
        default=None,
        description="Folder for spilled outputs. By default, a temporary folder.",
    )
    streaming: Literal["refuse", "pass"] = Field(
        default="refuse", description="What to do with a streamed output, which cannot be saved."
    )
    check: bool = Field(default=True, description="Whether loading fails if the store cannot be written.")

    @property
    def store_options(self) -> "StoreOptions":
        """Those settings that are for the store; SettingsError when one of them is wrong."""
        from ..stores import StoreOptions

        return StoreOptions(
            storage_class=self.storage_class, kms_key_id=self.kms_key_id, tags=self.tags, headers=self.headers
        )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        return check_url(url)

    @field_validator("compression")
    @classmethod
    def _check_compression(cls, compression: str) -> str:
        if compression == "zstd":
            from ..stores.compression import check_compression

            check_compression(compression)
        return compression

    @field_validator("spill_dir")
    @classmethod
    def _check_spill_dir(cls, spill_dir: str | None) -> str | None:
        if spill_dir is not None and not Path(spill_dir).is_absolute():
            raise ValueError("must be an absolute path")
        return spill_dir

    @field_validator("key")
    @classmethod
    def _check_key(cls, key: str) -> str:
        return check_key(key)


def resolve_settings(
    *,
    arguments: Mapping[str, Any],
    model: object,
    environ: Mapping[str, str],
    config: Mapping[str, Any],
    url_needed: bool = True,
) -> OutputSettings:
    """Each setting from the first place that has it: decorator argument, attribute, environment, config.yaml."""
    section = _config_section(config)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name in OutputSettings.model_fields:
        variable = ENVIRONMENT_PREFIX + name.upper()
        for origin, value in (
            (f"save_output({name}=…)", arguments.get(name)),
            (f"the attribute {ATTRIBUTE_PREFIX}{name}", getattr(model, ATTRIBUTE_PREFIX + name, None)),
            (f"the environment variable {variable}", _parsed(name, environ.get(variable))),
            (f"{CONFIG_SECTION}.{name} in config.yaml", section.get(name)),
        ):
            if value is not None and value != "":
                values[name], origins[name] = value, origin
                break
    if (local_url := environ.get(LOCAL_OUTPUT_URL)) and (values.get("local") is True or "url" not in values):
        values["url"], origins["url"] = local_url, f"the environment variable {LOCAL_OUTPUT_URL}"
    if "url" not in values and not url_needed:
        values["url"] = ""
    elif "url" not in values:
        raise SettingsError(
            "no output store is set: give its URL as output_url on the model class (or save_output(url=…)), "
            f"as the environment variable {ENVIRONMENT_PREFIX}URL, or as {CONFIG_SECTION}.url in config.yaml"
        )
    try:
        return OutputSettings.model_validate(values)
    except ValidationError as error:
        faults = [(place.partition(".")[0], reason) for place, reason in reasons(error)]
        raise SettingsError(
            "; ".join(f"{origins[name]}: {_hinted(name, reason)}" for name, reason in faults)
        ) from None


def check_setting_names(names: Mapping[str, Any]) -> None:
    """SettingsError when there is a name that is no setting."""
    if unknown := [name for name in names if name not in OutputSettings.model_fields]:
        raise SettingsError(
            f"unknown setting of save_output: {', '.join(unknown)}; {suggestion(unknown[0], OutputSettings.model_fields)}"
        )


def _parsed(name: str, text: str | None) -> Any:
    """An environment variable as a value of the field's type; the text itself where it is none."""
    if not text:
        return None
    field_type: Any = OutputSettings.model_fields[name].annotation
    try:
        if field_type == dict[str, str]:
            return TypeAdapter[Any](field_type).validate_json(text)
        return TypeAdapter[Any](field_type).validate_python(text)
    except ValidationError:
        return text


def _hinted(name: str, reason: str) -> str:
    annotation: Any = OutputSettings.model_fields[name].annotation
    if annotation is bool:
        return f"{reason}: true or false"
    if annotation == dict[str, str]:
        return f'{reason}: strings by name; in a variable as JSON, such as {{"name": "text"}}'
    return reason


def _config_section(config: Mapping[str, Any]) -> Mapping[str, Any]:
    section = (config.get("model_metadata") or {}).get("async_output") or {}
    if not isinstance(section, Mapping):
        allowed = ", ".join(OutputSettings.model_fields)
        raise SettingsError(f"{CONFIG_SECTION} in config.yaml must be a mapping with the keys {allowed}")
    if unknown := [str(key) for key in section if key not in OutputSettings.model_fields]:
        raise SettingsError(
            f"{CONFIG_SECTION} in config.yaml has an unknown setting: {', '.join(unknown)}; "
            f"{suggestion(unknown[0], OutputSettings.model_fields)}"
        )
    return section
