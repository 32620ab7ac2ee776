from __future__ import annotations

from typing import Any

import pytest

from truss_async.errors import SettingsError
from truss_async.model import AsyncOutputModel, save_output
from truss_async.model.settings import OutputSettings, resolve_settings
from truss_async.stores import StoreOptions


class Attributes:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def resolve(
    *,
    arguments: dict[str, Any] | None = None,
    attributes: dict[str, Any] | None = None,
    environ: dict[str, str] | None = None,
    section: Any = None,
) -> OutputSettings:
    return resolve_settings(
        arguments=arguments or {},
        model=Attributes(**attributes or {}),
        environ=environ or {},
        config={"model_metadata": {"async_output": section}},
    )


PLACES: dict[str, dict[str, Any]] = {
    "arguments": {"url": "s3://argument"},
    "attributes": {"output_url": "s3://attribute"},
    "environ": {"TRUSS_ASYNC_OUTPUT_URL": "s3://environment"},
    "section": {"url": "s3://config"},
}


def test_the_first_place_that_has_a_setting_wins() -> None:
    names = list(PLACES)
    found = [resolve(**{name: PLACES[name] for name in names[first:]}).url for first in range(len(names))]
    assert found == ["s3://argument", "s3://attribute", "s3://environment", "s3://config"]


def test_each_setting_is_looked_for_by_itself() -> None:
    settings = resolve(
        arguments={"model_id": "m"},
        environ={"TRUSS_ASYNC_OUTPUT_DEPLOYMENT_ID": "d", "TRUSS_ASYNC_OUTPUT_DIR": "somebody else's"},
        section={"url": "s3://b", "model_id": "other"},
    )
    assert settings == OutputSettings(url="s3://b", model_id="m", deployment_id="d")


def test_an_empty_text_is_no_setting() -> None:
    settings = resolve(environ={"TRUSS_ASYNC_OUTPUT_URL": ""}, section={"url": "s3://b", "model_id": ""})
    assert (settings.url, settings.model_id) == ("s3://b", None)


def test_no_url_names_the_three_places() -> None:
    with pytest.raises(SettingsError) as caught:
        resolve_settings(arguments={}, model=object(), environ={}, config={"model_metadata": None})
    for place in ("output_url", "TRUSS_ASYNC_OUTPUT_URL", "model_metadata.async_output.url"):
        assert place in str(caught.value)


LOCAL = {"TRUSS_ASYNC_OUTPUT_LOCAL_URL": "file:///state/outputs"}


@pytest.mark.parametrize("section", [{}, {"url": "s3://b", "local": True}])
def test_a_harness_gives_a_local_store_to_a_model_that_names_none_or_asks_for_it(
    section: dict[str, Any],
) -> None:
    assert resolve(section=section, environ=LOCAL).url == "file:///state/outputs"


@pytest.mark.parametrize(
    ("section", "environ"), [({"url": "s3://b"}, LOCAL), ({"url": "s3://b", "local": True}, {})]
)
def test_elsewhere_and_without_being_asked_the_store_is_the_configured_one(
    section: dict[str, Any], environ: dict[str, str]
) -> None:
    assert resolve(section=section, environ=environ).url == "s3://b"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"section": {"url": "s3://b", "urls": 1, "mode_id": 2}},
            "an unknown setting: urls, mode_id; did you mean 'url'",
        ),
        ({"section": "s3://b"}, "must be a mapping with the keys url,"),
        ({"section": {"url": 7}}, "async_output.url in config.yaml: Input should be a valid string"),
        ({"section": {"url": "s3://b", "model_id": 7}}, "model_id in config.yaml: Input should be a valid"),
        ({"attributes": {"output_url": 7}}, "the attribute output_url: Input should be a valid string"),
        (
            {"environ": {"TRUSS_ASYNC_OUTPUT_FORMAT": "xml"}},
            "OUTPUT_FORMAT: Input should be 'result' or 'raw'",
        ),
        ({"environ": {"TRUSS_ASYNC_OUTPUT_CHECK": "maybe"}}, "OUTPUT_CHECK: Input .*boolean: true or false"),
        (
            {"section": {"url": "s3://b", "overwrite": "no"}},
            "overwrite in config.yaml: Input .*boolean: true or false",
        ),
        ({"arguments": {"key": "same.json"}}, "save_output(key=…): must hold {request_id}"),
        ({"arguments": {"key": "{request_id}.txt"}}, "save_output(key=…): must end with .json"),
        (
            {"arguments": {"url": "s3://b/{region}"}},
            "unknown {region}; allowed are {model_id}, {deployment_id}",
        ),
        ({"arguments": {"url": "s3://b/{request_id}"}}, "unknown {request_id}; allowed are {model_id}"),
        ({"arguments": {"url": "s3://b/{model_id"}}, "save_output(url=…): "),
        ({"arguments": {"url": "s3://b/{model_id!r}"}}, "{model_id} takes no format"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("(", r"\(").replace(")", r"\)")):
        resolve(**{"section": {"url": "s3://b"}, **given})


WRONG = {
    "format": "'result' or 'raw'",
    "respond_with": "'output' or 'reference'",
    "compression": "'none'",
    "local": "true or false",
    "overwrite": "true or false",
    "save_errors": "true or false",
    "on_failure": "'raise', 'spill' or 'log'",
    "timeout_seconds": "a valid number",
    "streaming": "'refuse' or 'pass'",
    "check": "true or false",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_choice_names_the_key_and_what_is_allowed_wherever_it_stands(name: str) -> None:
    variable = f"TRUSS_ASYNC_OUTPUT_{name.upper()}"
    url: dict[str, Any] = {"section": {"url": "s3://b"}}
    places: list[tuple[dict[str, Any], str]] = [
        ({**url, "arguments": {name: "perhaps"}}, f"save_output({name}=…)"),
        ({**url, "attributes": {f"output_{name}": "perhaps"}}, f"the attribute output_{name}"),
        ({**url, "environ": {variable: "perhaps"}}, variable),
        (
            {"section": {"url": "s3://b", name: "perhaps"}},
            f"model_metadata.async_output.{name} in config.yaml",
        ),
    ]
    for place, key in places:
        with pytest.raises(SettingsError) as caught:
            resolve(**place)
        assert key in str(caught.value)
        assert WRONG[name] in str(caught.value)


def test_the_text_of_the_environment_becomes_a_value_of_the_settings_type() -> None:
    environ = {"TRUSS_ASYNC_OUTPUT_OVERWRITE": "false", "TRUSS_ASYNC_OUTPUT_MODEL_ID": "7"}
    settings = resolve(environ=environ, section={"url": "s3://b", "overwrite": True})
    assert (settings.overwrite, settings.model_id) == (False, "7")


def test_options_of_the_store_come_from_wherever_settings_do() -> None:
    settings = resolve(
        arguments={"kms_key_id": "alias/outputs"},
        attributes={"output_headers": {"Cache-Control": "no-store"}},
        environ={"TRUSS_ASYNC_OUTPUT_TAGS": '{"team": "vision"}'},
        section={"url": "s3://b", "storage_class": "STANDARD_IA", "tags": {"team": "other"}},
    )
    assert settings.store_options == StoreOptions(
        storage_class="STANDARD_IA",
        kms_key_id="alias/outputs",
        tags={"team": "vision"},
        headers={"Cache-Control": "no-store"},
    )


@pytest.mark.parametrize("text", ["team=vision", "[]", '{"team": 7}'])
def test_tags_that_are_none_are_told_with_the_form(text: str) -> None:
    with pytest.raises(SettingsError, match=r"OUTPUT_TAGS: .*as JSON, such as \{\"name\": \"text\"\}"):
        resolve(environ={"TRUSS_ASYNC_OUTPUT_TAGS": text}, section={"url": "s3://b"})


def test_every_setting_is_an_attribute_of_the_base_class() -> None:
    assert {f"output_{name}" for name in OutputSettings.model_fields} <= set(dir(AsyncOutputModel))
    with pytest.raises(SettingsError, match="unknown setting of save_output: colour; there are: url, key"):
        save_output(colour="red")
