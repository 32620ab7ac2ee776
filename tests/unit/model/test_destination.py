from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from truss_async.errors import OutputStoreError, SettingsError, UnsafeObjectKeyError
from truss_async.model.destination import Destinations
from truss_async.model.settings import OutputSettings
from truss_async.stores import object_store

NOW = datetime(2026, 3, 4, 5, tzinfo=timezone.utc)


def destinations(environment: str | None = None, **settings: Any) -> Destinations:
    given = OutputSettings.model_validate({"url": "memory://d", **settings})
    return Destinations(given, environment=environment, open_store=object_store)


def test_templates_are_filled_in_when_an_output_is_saved() -> None:
    found = destinations(
        "staging",
        url="memory://d/{model_id}/{environment}/{date:%Y/%m/%d}",
        key="{deployment_id}/{date}/{request_id}.json",
        model_id="m",
        deployment_id="dep",
    )
    place = found.of("r", now=NOW)
    assert place.objects.url == "memory://d/m/staging/2026/03/04"
    assert place.keys.result == "dep/2026-03-04/r.json"
    assert place.keys.error == "dep/2026-03-04/r.error.json"
    assert place.keys.artifact("a.png") == "dep/2026-03-04/r/a.png"
    assert found.of("r", now=NOW.replace(day=5)).objects.url == "memory://d/m/staging/2026/03/05"


def test_by_default_it_is_what_readers_expect() -> None:
    place = destinations().of("r", now=NOW)
    assert (place.keys.result, place.keys.error) == ("r.json", "r.error.json")
    assert place.url_of(place.keys.artifact("a.png")) == "memory://d/r/a.png"


@pytest.mark.parametrize("name", ["model_id", "deployment_id", "environment"])
@pytest.mark.parametrize("template", ["url", "key"])
def test_a_name_that_is_not_set_is_told(name: str, template: str) -> None:
    pattern = {"url": f"memory://d/{{{name}}}", "key": f"{{{name}}}/{{request_id}}.json"}[template]
    with pytest.raises(SettingsError, match=f"needs {name}, which is not set"):
        destinations(**{template: pattern}).check(now=NOW, write=False)


def test_a_value_that_would_change_the_path_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"cannot hold the environment '\.\./x'"):
        destinations("../x", url="memory://d/{environment}").check(now=NOW, write=False)


def test_keys_stay_below_the_store() -> None:
    for key in ("../{request_id}.json", "/{request_id}.json", "a//{request_id}.json"):
        with pytest.raises(UnsafeObjectKeyError):
            destinations(key=key).check(now=NOW, write=False)
    with pytest.raises(UnsafeObjectKeyError):
        destinations().of("../x", now=NOW)


def test_the_check_writes_only_if_it_shall(tmp_path: Any) -> None:
    (tmp_path / "store").write_text("no folder")
    found = destinations(url=f"{tmp_path.as_uri()}/store")
    assert found.check(now=NOW, write=False) == f"{tmp_path.as_uri()}/store"
    with pytest.raises(OutputStoreError, match="truss-async-probe"):
        found.check(now=NOW, write=True)
