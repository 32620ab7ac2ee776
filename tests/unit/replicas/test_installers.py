from __future__ import annotations

import pytest

from truss_async.replicas.installers import unknown_package, uv_variables


@pytest.mark.parametrize(
    ("pip_config", "expected"),
    [
        ([], {}),
        (["global.index-url='https://one/simple'"], {"UV_DEFAULT_INDEX": "https://one/simple"}),
        (["global.extra-index-url='\\nhttps://two/simple\\nhttps://three/simple'"], {"UV_INDEX": "https://two/simple https://three/simple"}),
        (["install.find-links='/one /two'"], {"UV_FIND_LINKS": "/one,/two"}),
        (["global.constraint='/c.txt'", "global.trusted-host='one'"], {"UV_CONSTRAINT": "/c.txt", "UV_INSECURE_HOST": "one"}),
        (["global.no-index='true'"], {"UV_NO_INDEX": "true"}),
        (["global.index-url=''"], {}),
        (["download.index-url='https://one'", "global.timeout='9'", "WARNING: of some kind"], {}),
    ],
)  # fmt: skip
def test_uv_is_told_where_pip_looks_for_packages(pip_config: list[str], expected: dict[str, str]) -> None:
    assert uv_variables(pip_config) == expected


def test_the_environment_goes_before_the_section_of_install_and_that_before_the_global_one() -> None:
    said = [":env:.index-url='third'", "global.index-url='first'", "install.index-url='second'"]
    assert uv_variables(said) == {"UV_DEFAULT_INDEX": "third"}
    assert uv_variables(said[1:]) == {"UV_DEFAULT_INDEX": "second"}


UNKNOWN = (
    "Because no-such was not found in the package registry and you require no-such, we can conclude that"
)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["error: No solution found", f"  cause: {UNKNOWN} your requirements are unsatisfiable."], "no-such"),
        (["  Because no-such was not found in", "      the package registry and you require no-such"], "no-such"),
        ([UNKNOWN, "hint: An index URL could not be queried due to a lack of valid authentication"], None),
        (["Because no-such was not found in the cache and you require no-such", "hint: network was disabled"], None),
        (["Because there is no version of small==9 and you require small==9"], None),
        ([], None),
    ],
)  # fmt: skip
def test_only_a_package_that_no_index_has_is_unknown(said: list[str], expected: str | None) -> None:
    assert unknown_package(said) == expected
