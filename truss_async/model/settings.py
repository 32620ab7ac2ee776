"""Where outputs are saved: one typed object, from arguments, attributes, environment variables or config.yaml."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import SettingsError

ENVIRONMENT_PREFIX = "TRUSS_ASYNC_OUTPUT_"
ATTRIBUTE_PREFIX = "output_"
CONFIG_SECTION = "model_metadata.async_output"


class OutputSettings(BaseModel):
    """Where the outputs of a model are saved, and which ids are written into them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())

    url: str = Field(description="The output store, such as s3://my-bucket/outputs.")
    model_id: str | None = Field(None, description="Written into each result; the container is not told it.")
    deployment_id: str | None = Field(
        None, description="Written into each result; the container is not told it."
    )


def resolve_settings(
    *, arguments: Mapping[str, Any], model: object, environ: Mapping[str, str], config: Mapping[str, Any]
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
            (f"the environment variable {variable}", environ.get(variable)),
            (f"{CONFIG_SECTION}.{name} in config.yaml", section.get(name)),
        ):
            if value is not None and value != "":
                values[name], origins[name] = value, origin
                break
    if "url" not in values:
        raise SettingsError(
            "no output store is set: give its URL as output_url on the model class (or save_output(url=…)), "
            f"as the environment variable {ENVIRONMENT_PREFIX}URL, or as {CONFIG_SECTION}.url in config.yaml"
        )
    try:
        return OutputSettings.model_validate(values)
    except ValidationError as error:
        reasons = [f"{origins[str(each['loc'][0])]}: {each['msg']}" for each in error.errors()]
        raise SettingsError("; ".join(reasons)) from None


def _config_section(config: Mapping[str, Any]) -> Mapping[str, Any]:
    section = (config.get("model_metadata") or {}).get("async_output") or {}
    allowed = ", ".join(OutputSettings.model_fields)
    if not isinstance(section, Mapping):
        raise SettingsError(f"{CONFIG_SECTION} in config.yaml must be a mapping with the keys {allowed}")
    if unknown := [str(key) for key in section if key not in OutputSettings.model_fields]:
        raise SettingsError(
            f"{CONFIG_SECTION} in config.yaml has no setting {', '.join(unknown)}; known are {allowed}"
        )
    return section
