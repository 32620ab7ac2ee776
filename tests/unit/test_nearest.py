"""What a mistyped name was meant to be."""

from truss_async.nearest import mistyped, suggestion


def test_a_near_name_is_suggested_and_else_all_are_named() -> None:
    assert suggestion("urls", ["url", "key"]) == "did you mean 'url'?"
    assert suggestion("colour", ["url", "key"]) == "there are: url, key"


def test_a_name_that_is_near_none_is_not_mistyped() -> None:
    known = ["requirements", "resources"]
    assert mistyped(["requirments", "my_company"], known=known) == {"requirments": "requirements"}
