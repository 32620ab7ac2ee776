"""Each row of the table of stores is whole, and what is written by hand about stores names all that it says."""

from __future__ import annotations

import importlib
import inspect
import re
from dataclasses import fields
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from truss_async.stores import StoreCredentials, StoreOptions, object_store
from truss_async.stores.schemes import SCHEMES, Scheme

PAGE = (Path(__file__).parents[3] / "docs" / "saving.md").read_text(encoding="utf-8")

each_scheme = pytest.mark.parametrize("row", SCHEMES.values(), ids=SCHEMES)
each_cloud = pytest.mark.parametrize(
    "row", [each for each in SCHEMES.values() if each.cloud], ids=lambda row: row.name
)


@each_scheme
def test_opener_of_a_scheme_is_there(row: Scheme) -> None:
    module, _, name = row.opener.partition(".")
    opener = getattr(importlib.import_module(f"truss_async.stores.{module}"), name)
    assert len(inspect.signature(opener).parameters) == 4
    assert row.example.startswith(f"{row.name}://")


@each_cloud
def test_extra_of_a_cloud_installs_its_library(row: Scheme) -> None:
    declared = [Requirement(line) for line in requires("truss-async") or []]
    assert row.library in [
        each.name for each in declared if each.marker and each.marker.evaluate({"extra": row.extra})
    ]


def test_what_is_no_cloud_needs_no_library_and_can_be_asked_for_nothing() -> None:
    for row in SCHEMES.values():
        if not row.cloud:
            assert (row.library, row.extra, row.secrets, row.presigns, row.options) == ("", "", (), False, ())


def test_every_secret_and_every_option_belongs_to_a_scheme() -> None:
    secrets = [name for row in SCHEMES.values() for name in row.secrets]
    assert sorted(secrets) == sorted(each.name for each in fields(StoreCredentials))
    options = {name for row in SCHEMES.values() for name in row.options}
    assert options == {each.name for each in fields(StoreOptions)}
    assert all(bool(row.headers) == ("headers" in row.options) for row in SCHEMES.values())


@each_cloud
def test_store_in_a_cloud_is_known_by_every_name_of_its_scheme(
    row: Scheme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    credentials = StoreCredentials(azure_storage_connection_string="AccountName=a;AccountKey=eA==")
    for name in (row.name, *row.aliases):
        assert (
            object_store(f"{name}://my-bucket/x", credentials=credentials).url == f"{row.name}://my-bucket/x"
        )


@each_scheme
def test_page_names_the_scheme_its_extra_and_its_secrets(row: Scheme) -> None:
    for word in (f"{row.name}://", f"[{row.extra}]" if row.extra else "", *row.secrets):
        assert word in PAGE


@pytest.mark.parametrize("option", [each.name for each in fields(StoreOptions)])
def test_page_names_the_clouds_that_have_an_option_and_no_other(option: str) -> None:
    (line,) = re.findall(rf"^\| `{option}` \|.*$", PAGE, re.MULTILINE)
    named = {row.cloud for row in SCHEMES.values() if row.cloud and re.search(rf"\b{row.cloud}\b", line)}
    assert named == {row.cloud for row in SCHEMES.values() if option in row.options}
