"""Parses Python code, whatever it is and whichever thread asks."""

from __future__ import annotations

import ast
import threading

_ONE_AT_A_TIME = threading.Lock()


def parsed(source: str | bytes) -> ast.Module:
    """The code as a syntax tree.

    Raises:
        SyntaxError: it is no Python, holds null bytes, or is nested too deeply.
    """
    # Up to 3.11.7 and 3.12.1 threads that parse at the same time disturb each other: "AST constructor recursion depth
    # mismatch" (CPython's issue 106905).
    with _ONE_AT_A_TIME:
        try:
            return ast.parse(source)
        except (ValueError, RecursionError, MemoryError) as error:
            raise SyntaxError(f"no Python code: {error}") from error
