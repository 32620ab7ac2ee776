"""Put a requirement's dependencies in its place, and change nothing else of the file: pure functions on text."""

from __future__ import annotations

import json
from collections.abc import Mapping

import yaml


class UneditableError(Exception):
    """The requirements are written in a way that only a person should change."""


def replace_in_config(text: str, substitutes: Mapping[str, list[str]]) -> str:
    """The text of a config.yaml with these lines in place of some of its requirements.

    Works on the characters of those items alone, so that comments, quotes, order and line ends stay; the result is
    read back to prove that nothing else changed.
    """
    if not substitutes:
        return text
    edited = text
    for item in reversed(_requirement_items(text)):
        if item.value in substitutes:
            edited = _replace_item(edited, item, substitutes[item.value])
    expected = yaml.safe_load(text)
    expected["requirements"] = [
        new for line in expected["requirements"] for new in substitutes.get(line, [line])
    ]
    try:
        faithful = yaml.safe_load(edited) == expected
    except yaml.YAMLError:
        faithful = False
    if not faithful:
        raise UneditableError
    return edited


def replace_in_lines(text: str, substitutes: Mapping[str, list[str]]) -> str:
    """The text of a pip requirements file with these lines in place of some of its own; comments stay."""
    edited = ""
    for line in text.splitlines(keepends=True):
        requirement, hash_sign, comment = line.rstrip("\r\n").partition(" #")
        if requirement.strip() in substitutes:
            first, *others = substitutes[requirement.strip()]
            lines = [f"{first}{hash_sign}{comment}", *others]
            edited += "".join(f"{each}{_newline(text)}" for each in lines)
        else:
            edited += line
    return edited


def _requirement_items(text: str) -> list[yaml.ScalarNode]:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == "requirements" and isinstance(value, yaml.SequenceNode):
            items = [item for item in value.value if isinstance(item, yaml.ScalarNode)]
            if len(items) < len(value.value):
                raise UneditableError
            return items
    return []


def _replace_item(text: str, item: yaml.ScalarNode, lines: list[str]) -> str:
    start, end = item.start_mark.index, item.end_mark.index
    before = text[text.rfind("\n", 0, start) + 1 : start]
    if before.strip() == "-":  # an item of a block: a line each
        return text[:start] + (_newline(text) + before).join(lines) + text[end:]
    return text[:start] + ", ".join(json.dumps(each) for each in lines) + text[end:]


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
