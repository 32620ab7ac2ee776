"""JSON and values that are nested deeply, and texts of any JSON."""

import json
from typing import Any

from hypothesis import strategies as st

DEEP = 300  # over what pydantic reads and writes, and under what Python's own parser does

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
json_texts = st.builds(
    lambda value, indent, is_ascii: json.dumps(value, indent=indent, ensure_ascii=is_ascii),
    json_values,
    st.sampled_from([None, 0, "\t", "\r\n "]),
    st.booleans(),
)


def nested(depth: int, inside: str = "1") -> bytes:
    """JSON in which lists and objects take turns."""
    half, odd = divmod(depth, 2)
    return ("[" * odd + '{"a": [' * half + inside + "]}" * half + "]" * odd).encode()


def compact(depth: int, inside: str = "1") -> bytes:
    return nested(depth, inside).replace(b'"a": [', b'"a":[')


def nest(value: Any, depth: int) -> Any:
    half, odd = divmod(depth, 2)
    for _ in range(half):
        value = {"a": [value]}
    return [value] if odd else value


def innermost(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = value["a"] if isinstance(value, dict) else value[0]
    return value
