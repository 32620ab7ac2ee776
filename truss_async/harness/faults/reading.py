"""Faults as people write them: one rule, or a TOML file of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ...contract.faults import FaultRule
from ...errors import SettingsError, explained
from ..toml_files import read_toml

_KEYS = ("seed", "rates", "fault")


def parse_rule(values: Mapping[str, Any]) -> FaultRule:
    """A rule.

    Raises:
        SettingsError: it is none; the message names the key, and what is allowed.
    """
    try:
        return FaultRule(**values)
    except ValidationError as error:
        raise SettingsError(explained(error, known=FaultRule.model_fields)) from None


def read_faults(file: Path) -> tuple[FaultRule, ...]:
    """The rules of a TOML file: each table ``[[fault]]``, and then one for each of ``[rates]``, drawn from ``seed``.

    Raises:
        SettingsError: the file cannot be read, or says what it must not.
    """
    content = read_toml(file)
    try:
        return _rules(content)
    except SettingsError as error:
        raise SettingsError(f"{file}: {error}") from None


def _rules(content: dict[str, Any]) -> tuple[FaultRule, ...]:
    for key in content:
        if key not in _KEYS:
            raise SettingsError(f"unknown key {key}; there are: seed, [rates] and [[fault]]")
    tables, rates = content.get("fault", []), content.get("rates", {})
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise SettingsError("start each fault with [[fault]]")
    if not isinstance(rates, dict):
        raise SettingsError("rates: give a table, [rates], with a number from 0 to 1 for each kind")
    shared = {"seed": content["seed"]} if "seed" in content else {}
    rules = [_placed(f"fault {number}", {**shared, **table}) for number, table in enumerate(tables, 1)]
    drawn = [_placed(f"rates.{kind}", {**shared, "kind": kind, "rate": rate}) for kind, rate in rates.items()]
    return (*rules, *drawn)


def _placed(where: str, values: dict[str, Any]) -> FaultRule:
    try:
        return parse_rule(values)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from None
