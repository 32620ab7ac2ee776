"""A requirement in Python code gives way to others, and nothing else changes."""

from __future__ import annotations

import pytest

from truss_async.shipping.python_edits import replace_in_python, strings

NEW = {"truss-async[s3]": ["pydantic>=2", "boto3"]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A(pip=['truss-async[s3]'])\n", 'A(pip=["pydantic>=2", "boto3"])\n'),
        ("A = [\n    'x',  # é\n    'é', 'truss-async[s3]',  # ours\n]\n", "A = [\n    'x',  # é\n    'é', \"pydantic>=2\", \"boto3\",  # ours\n]\n"),
        ("a, b = ['truss-async[s3]'], ('truss-async[s3]', 1)\r\n", 'a, b = ["pydantic>=2", "boto3"], ("pydantic>=2", "boto3", 1)\r\n'),
        ("note = 'truss-async[s3]'\n", "note = 'truss-async[s3]'\n"),
        ("A = ['other']\n", "A = ['other']\n"),
    ],
)  # fmt: skip
def test_only_the_item_of_a_list_is_replaced(before: str, after: str) -> None:
    assert replace_in_python(before, NEW) == after
    assert replace_in_python(after, NEW) == after


def test_the_strings_of_a_file_are_known_and_those_of_no_python_are_none() -> None:
    assert strings("f('requirements.txt', 1)") == {"requirements.txt"}
    assert strings("(") == set()
    with pytest.raises(SyntaxError):
        replace_in_python("(", NEW)
