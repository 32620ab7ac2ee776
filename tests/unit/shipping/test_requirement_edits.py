import pytest
import yaml

from truss_async.shipping.requirement_edits import UneditableError, replace_in_config, replace_in_lines

SUBSTITUTES = {"truss-async[s3]": ["pydantic>=2.6", "smart-open>=6.4", "boto3>=1.34,<2"]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "a: 1  # one\n\nrequirements:\n    - numpy   # kept\n    - truss-async[s3]\n    - pillow\nz: {k: [1,2]}\n",
            "a: 1  # one\n\nrequirements:\n    - numpy   # kept\n    - pydantic>=2.6\n    - smart-open>=6.4\n"
            "    - boto3>=1.34,<2\n    - pillow\nz: {k: [1,2]}\n",
            id="block",
        ),
        pytest.param(
            "requirements:\n- 'truss-async[s3]' # why\nb:   2",
            "requirements:\n- pydantic>=2.6\n- smart-open>=6.4\n- boto3>=1.34,<2 # why\nb:   2",
            id="unindented block, quoted, no newline at the end",
        ),
        pytest.param(
            'requirements: [numpy, "truss-async[s3]", pillow]  # all\n',
            'requirements: [numpy, "pydantic>=2.6", "smart-open>=6.4", "boto3>=1.34,<2", pillow]  # all\n',
            id="flow",
        ),
        pytest.param(
            "requirements:\r\n  - truss-async[s3]\r\nb: é\r\n",
            "requirements:\r\n  - pydantic>=2.6\r\n  - smart-open>=6.4\r\n  - boto3>=1.34,<2\r\nb: é\r\n",
            id="CRLF",
        ),
        pytest.param(
            "\ufeff# 日本\nrequirements: ['truss-async[s3]']\n",
            '\ufeff# 日本\nrequirements: ["pydantic>=2.6", "smart-open>=6.4", "boto3>=1.34,<2"]\n',
            id="byte order mark",
        ),
        pytest.param("requirements: [numpy]\n", "requirements: [numpy]\n", id="nothing to replace"),
    ],
)
def test_only_the_requirement_changes_in_a_config(before: str, after: str) -> None:
    listed = yaml.safe_load(before)["requirements"]
    substitutes = {line: new for line, new in SUBSTITUTES.items() if line in listed}
    assert replace_in_config(before, substitutes) == after


@pytest.mark.parametrize(
    "text",
    [
        "common: &needs\n  - truss-async[s3]\nrequirements: *needs\n",
        "requirements:\n  - &us truss-async[s3]\nother: *us\n",
        "requirements:\n  - truss-async[s3]\n  - [nested]\n",
        "requirements:\n  - - truss-async[s3]\n",
    ],
)
def test_a_config_that_cannot_be_edited_without_touching_more_is_refused(text: str) -> None:
    with pytest.raises(UneditableError):
        replace_in_config(text, SUBSTITUTES)


def test_only_the_requirement_changes_in_a_pip_file_and_comments_stay() -> None:
    before = "# ours\n--extra-index-url https://example.com\nnumpy==2.0 # pinned\n  truss-async[s3]  # outputs\npillow"
    assert replace_in_lines(before, SUBSTITUTES) == (
        "# ours\n--extra-index-url https://example.com\nnumpy==2.0 # pinned\n"
        "pydantic>=2.6 # outputs\nsmart-open>=6.4\nboto3>=1.34,<2\npillow"
    )
