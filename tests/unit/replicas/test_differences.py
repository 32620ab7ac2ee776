from __future__ import annotations

from truss_async.replicas.differences import differences


def test_matching_truss_differs_in_nothing() -> None:
    assert list(differences({"python_version": "py311"}, python_version="3.11")) == []


def test_other_python_version_is_a_difference() -> None:
    (line,) = differences({"python_version": "py39"}, python_version="3.11")
    assert "3.9" in line
    assert "3.11" in line


def test_what_is_no_http_is_a_difference() -> None:
    for kind in ("websocket", "grpc"):
        config = {"runtime": {"transport": {"kind": kind}}}
        (line,) = differences(config, python_version="3.11")
        assert f"the model speaks {kind}, which is not passed on here" in line
    (line,) = differences({}, python_version="3.11", methods={"load", "websocket"})
    assert "websocket" in line
    assert list(differences({"runtime": {"transport": {"kind": "http"}}}, python_version="3.11")) == []


def test_system_packages_data_and_weights_are_differences() -> None:
    config = {
        "system_packages": ["ffmpeg", "libsm6"],
        "external_data": [{"url": "x"}],
        "weights": [{"source": "x"}],
    }
    lines = list(differences(config, python_version="3.11"))
    assert len(lines) == 3
    assert "ffmpeg, libsm6" in lines[0]
