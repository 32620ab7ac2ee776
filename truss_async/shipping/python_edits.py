"""Put a requirement's dependencies in its place in Python code, and change nothing else of the file: pure functions on text."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping

from ..python_code import parsed


def replace_in_python(text: str, substitutes: Mapping[str, list[str]]) -> str:
    """The code with these strings in place of some that stand, each by itself, in a list, a tuple or a set.

    SyntaxError when it is no Python.
    """
    edited = text
    for item in sorted(_items(text, substitutes), key=lambda each: _start(text, each), reverse=True):
        start, end = (
            _start(text, item),
            _offset(text, item.end_lineno or item.lineno, item.end_col_offset or 0),
        )
        written = ", ".join(json.dumps(each) for each in substitutes[str(item.value)])
        edited = edited[:start] + written + edited[end:]
    return edited


def strings(text: str) -> set[str]:
    """Every string that is spelled out in the code; none in what is no Python."""
    try:
        nodes = ast.walk(parsed(text))
    except SyntaxError:
        return set()
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _items(text: str, substitutes: Mapping[str, list[str]]) -> Iterator[ast.Constant]:
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            for item in node.elts:
                if isinstance(item, ast.Constant) and item.value in substitutes:
                    yield item


def _start(text: str, node: ast.expr) -> int:
    return _offset(text, node.lineno, node.col_offset)


def _offset(text: str, line: int, column_bytes: int) -> int:
    """Where in the text a place of the syntax tree is, which counts columns in bytes of UTF-8."""
    lines = text.splitlines(keepends=True)
    column = len(lines[line - 1].encode()[:column_bytes].decode())
    return sum(map(len, lines[: line - 1])) + column
