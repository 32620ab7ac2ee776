"""What the disk did to the harness's queue, as callers and monitoring see it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from truss_async import Harness, HarnessSettings, PlatformClient
from truss_async.errors import ApiError


def own_metrics(harness: Harness) -> dict[str, float]:
    """By name and the label that the harness's own have."""
    text = httpx.get(f"{harness.url}/metrics").text
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if family.name.startswith("truss_async_")
    }


def health(harness: Harness) -> dict[str, object]:
    """What is told of the queue."""
    found: dict[str, object] = httpx.get(f"{harness.url}/healthz").json()["queue"]
    return found


def test_damage_to_the_queue_is_told_by_the_health_call_and_counted_by_metrics_of_the_harness(
    tmp_path: Path,
) -> None:
    settings = HarnessSettings(model=lambda value: value, port=0, state_dir=tmp_path)
    none = {"request": 0, "input": 0, "result": 0, "all": 0}
    with Harness(settings, report=lambda line: None, log=lambda line: None) as harness:
        harness.wait_ready(timeout_seconds=30)
        assert health(harness) == {
            "error": None,
            "damaged_requests": none,
            "lost_log_pages": 0,
            "kept_aside": [],
        }
        assert own_metrics(harness) == {
            "truss_async_queue_usable": 1,
            **{f"truss_async_damaged_requests_total {what}": 0 for what in none},
            "truss_async_lost_log_pages_total": 0,
            "truss_async_damaged_files": 0,
        }
        harness.pause()
        request_id = harness.submit([1, 2]).request_id
        (file,) = tmp_path.glob("*.sqlite3")
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE model_inputs SET body = x'31'")
        file.with_name(f"{file.stem}-damaged-1.sqlite3").touch()
        harness.resume()
        with PlatformClient(harness.url, api_key="any") as client:
            assert client.wait(request_id, timeout_seconds=30).status == "FAILED"
        assert health(harness) == {
            "error": None,
            "damaged_requests": {**none, "input": 1},
            "lost_log_pages": 0,
            "kept_aside": [f"{file.stem}-damaged-1.sqlite3"],
        }
        shown = own_metrics(harness)
        assert shown["truss_async_damaged_requests_total input"] == 1
        assert shown["truss_async_damaged_files"] == 1
        file.rename(tmp_path / "away")
        with pytest.raises(ApiError, match="restore the state folder"):
            harness.submit(1)
        assert "no longer exists" in str(health(harness)["error"])
        (tmp_path / "away").rename(file)
