from __future__ import annotations

from truss_async.replicas.differences import differences


def test_matching_truss_differs_in_nothing() -> None:
    assert list(differences({"python_version": "py311"}, python_version="3.11")) == []


def test_other_python_version_is_a_difference() -> None:
    (line,) = differences({"python_version": "py39"}, python_version="3.11")
    assert "3.9" in line
    assert "3.11" in line


def test_system_packages_data_and_weights_are_differences() -> None:
    config = {
        "system_packages": ["ffmpeg", "libsm6"],
        "external_data": [{"url": "x"}],
        "weights": [{"source": "x"}],
    }
    lines = list(differences(config, python_version="3.11"))
    assert len(lines) == 3
    assert "ffmpeg, libsm6" in lines[0]
