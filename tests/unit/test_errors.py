from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from truss_async.errors import explained, reasons


class Inner(BaseModel):
    number: Annotated[int, Field(ge=1)] = 1


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = ""
    inner: list[Inner] = []

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name == "x":
            raise ValueError("must not be x")
        return name

    @model_validator(mode="after")
    def _check_both(self) -> Settings:
        if self.name == "both":
            raise ValueError("not both")
        return self


def error_of(values: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(values)
    return caught.value


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": 1, "inner": 2}, "name: Input should be a valid string"),
        ({"inner": [{}, {"number": 0}]}, "inner.1.number: Input should be greater than or equal to 1"),
        ({"name": "x"}, "name: must not be x"),
        ({"name": "both"}, "not both"),
        ({"nme": "y"}, "unknown key nme; did you mean 'name'?"),
        ([], "Input should be a valid dictionary or instance of Settings"),
    ],
)
def test_the_first_thing_wrong_is_told_with_its_place(values: Any, sentence: str) -> None:
    assert explained(error_of(values), known=Settings.model_fields) == sentence


def test_where_no_keys_are_known_an_unknown_one_is_told_as_pydantic_does() -> None:
    assert explained(error_of({"nme": "y"})) == "nme: Extra inputs are not permitted"


def test_all_that_is_wrong_is_listed() -> None:
    assert reasons(error_of({"name": "x", "inner": [{"number": 0}]})) == [
        ("name", "must not be x"),
        ("inner.0.number", "Input should be greater than or equal to 1"),
    ]
