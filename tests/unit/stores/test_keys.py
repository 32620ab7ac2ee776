from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truss_async.errors import UnsafeObjectKeyError
from truss_async.stores.keys import (
    MAX_NAME_LENGTH,
    check_artifact_name,
    check_object_key,
    check_request_id,
    safe_artifact_name,
)
from truss_async.stores.layout import DEFAULT_KEY, default_keys, layout_of

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE = [
    "", ".", "..", "...", "a..b", ".hidden", "a.", "a/b", "/etc/passwd", "../x", "a\\b", "a\0b", "a\nb", "a b", "ä",
    "a%2fb", "a\u2215b", "\ud800", "x" * 129, "~", "a:b", "a?b", "a#b",
]  # fmt: skip

any_text = st.text(st.characters(codec=None)) | st.text("./\\aA-_\0%", max_size=8)


@pytest.mark.parametrize("request_id", ["a", "0" * 32, "req_1.retry-2", "A" * 128, "-x", "a.jsonl"])
def test_ordinary_request_id_is_returned(request_id: str) -> None:
    assert check_request_id(request_id) == request_id
    assert default_keys(request_id).result == f"{request_id}.json"


@pytest.mark.parametrize("text", HOSTILE)
def test_text_that_is_no_safe_name_is_refused(text: str) -> None:
    with pytest.raises(UnsafeObjectKeyError, match="cannot be part of an object key: "):
        check_request_id(text)
    with pytest.raises(UnsafeObjectKeyError, match="cannot be part of an object key: "):
        check_artifact_name(text)
    with pytest.raises(UnsafeObjectKeyError):
        default_keys(text)
    with pytest.raises(UnsafeObjectKeyError):
        default_keys("r1").artifact(text)


@pytest.mark.parametrize("request_id", ["x.json", "x.error", "x.JSON", "x.error.json"])
def test_request_id_whose_key_could_be_another_requests_is_refused(request_id: str) -> None:
    with pytest.raises(UnsafeObjectKeyError, match="ends with one of"):
        check_request_id(request_id)


@pytest.mark.parametrize("request_id", ["a", "0" * 32, "a.jsonl", "-x"])
def test_key_of_a_result_tells_its_request(request_id: str) -> None:
    _, layout = layout_of("memory://x", DEFAULT_KEY, values={})
    assert layout.request_id_of(default_keys(request_id).result) == request_id
    assert layout.request_id_of(default_keys(request_id).error) is None
    assert layout.request_id_of(default_keys(request_id).artifact("x.json")) is None
    keys = [
        default_keys(request_id).result,
        default_keys(request_id).error,
        default_keys(request_id).artifact("x.json"),
    ]
    assert [layout.kind_of(key, request_id) for key in keys] == ["result", "error", "artifact"]
    assert [layout.kind_of(key, "b") for key in keys] == [None] * 3


@given(any_text)
def test_any_key_is_that_of_a_result_or_not(key: str) -> None:
    request_id = layout_of("memory://x", DEFAULT_KEY, values={})[1].request_id_of(key)
    assert request_id is None or default_keys(request_id).result == key


def test_refusal_quotes_little_and_nothing_raw() -> None:
    with pytest.raises(UnsafeObjectKeyError) as refused:
        check_request_id("\x1b[31m" + "x" * 10_000)
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 300


@given(any_text, any_text)
def test_no_request_id_and_no_name_ever_leaves_the_prefix(request_id: str, name: str) -> None:
    makers: list[Callable[[], str]] = [
        lambda: default_keys(request_id).result,
        lambda: default_keys(request_id).artifact(name),
        lambda: check_object_key(name),
    ]
    for make in makers:
        try:
            key = make()
        except UnsafeObjectKeyError:
            continue
        path = posixpath.normpath(f"/prefix/{key}")
        assert path == f"/prefix/{key}"
        assert "\0" not in key


@given(any_text, st.lists(any_text, max_size=20))
def test_artifact_of_any_name_stays_in_its_requests_folder(text: str, others: list[str]) -> None:
    taken: set[str] = set()
    for other in others:
        safe_artifact_name(other, taken)
    name = safe_artifact_name(text, taken)
    assert default_keys("r1").artifact(name) == f"r1/{name}"


@given(
    st.lists(
        any_text | st.sampled_from(["a.png", "A.PNG", "a-2.png", "x" * 200, "x" * 199 + ".png"]), max_size=30
    )
)
def test_artifact_names_never_collide_in_any_case(texts: list[str]) -> None:
    taken: set[str] = set()
    names = [safe_artifact_name(text, taken) for text in texts]
    assert len({name.lower() for name in names}) == len(texts)
    assert all(len(name) <= MAX_NAME_LENGTH for name in names)
    assert taken == set(names)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("page.png", "page.png"),
        ("../../etc/passwd", "etc-passwd"),
        ("Überweisung März.pdf", "Uberweisung-Marz.pdf"),
        ("データ", "artifact"),
        ("", "artifact"),
        ("结果.png", "artifact.png"),
        ("отчёт.tar.gz", "tar.gz"),
        ("отчёт.pdf", "artifact.pdf"),
        ("结果-1.png", "1.png"),
        ("🙂", "artifact"),
        (".env", "env"),
        ("a//b\\c.tar.gz", "a-b-c.tar.gz"),
    ],
)
def test_artifact_name_stays_readable(text: str, expected: str) -> None:
    assert safe_artifact_name(text, set()) == expected


def test_second_artifact_of_a_name_keeps_its_extension() -> None:
    taken = {"Page.png"}
    assert [safe_artifact_name("page.png", taken) for _ in range(2)] == ["page-2.png", "page-3.png"]


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "a/../b", "./a", "a/.hidden", "a\\b", "a\tb", "x" * 901]
)
def test_object_key_that_could_leave_its_store_is_refused(key: str) -> None:
    with pytest.raises(UnsafeObjectKeyError):
        check_object_key(key)


def test_object_key_may_have_folders_and_letters_of_any_language() -> None:
    assert check_object_key("2026/05/seite ä.json") == "2026/05/seite ä.json"
