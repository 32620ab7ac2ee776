from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truss_async.errors import SettingsError
from truss_async.pasted import as_api_key, as_meant

KEY = "whsec_aB3/+=-_"


@pytest.mark.parametrize(
    "pasted",
    [
        "{}",
        "{}\n",
        "\r\n{}\r\n",
        "\ufeff{}",
        '"{}"',
        "'{}'\n",
        ' "{}" ',
        '\ufeff"{}\n"',
        "`{}`",
        "\u201c{}\u201d",
        "\u200b{}\xa0",
    ],
)
def test_what_comes_along_with_a_pasted_secret_is_taken_away(pasted: str) -> None:
    assert as_meant(pasted.format(KEY), what="the key") == KEY


@pytest.mark.parametrize("text", ["", '"', "it's", "'a", 'a"', "a b", "ключ"])
def test_what_may_be_meant_stays(text: str) -> None:
    assert as_meant(text, what="the key") == text


@pytest.mark.parametrize("text", ["one\ntwo", "one\rtwo", "a\tb", "a\0b", "a\x7fb"])
def test_a_secret_of_several_lines_is_named_and_not_quoted(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^the key contains a line break") as refused:
        as_meant(text, what="the key")
    assert text not in str(refused.value)
    assert as_meant(f" {text}", what="the key", may_have_lines=True) == text


@given(st.text())
def test_what_is_meant_is_meant_once_and_for_all(text: str) -> None:
    meant = as_meant(text, what="the key", may_have_lines=True)
    assert meant in text
    assert as_meant(meant, what="the key", may_have_lines=True) == meant


@pytest.mark.parametrize("text", ["", " ", "''", "ключ", "k\u00e9y", "k\ud800", "k\ny", "k\u200by"])
def test_an_api_key_is_printable_ascii_or_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^the API key ") as refused:
        as_api_key(text)
    assert "k" not in str(refused.value).replace("break", "").replace("key", "")


@pytest.mark.parametrize("pasted", ["abc.DEF-1", "abc.DEF-1\n", ' "abc.DEF-1"', "\ufeffabc.DEF-1"])
def test_an_api_key_is_taken_as_it_was_meant(pasted: str) -> None:
    assert as_api_key(pasted) == "abc.DEF-1"
