from __future__ import annotations

import errno
import subprocess
import sys

import aiohttp
import pytest

from truss_async.shortages import PORTS_RETURN_SECONDS, is_shortage


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EMFILE, "too many"), True),
        (OSError(errno.ENFILE, "too many"), True),
        (aiohttp.ClientOSError(errno.ENOBUFS, "none"), True),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 24] Too many open files"),
            True,
        ),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 113] No route"), False),
        (ConnectionRefusedError(errno.ECONNREFUSED, "[Errno 24]"), False),
        (TimeoutError(), False),
        (ValueError("[Errno 24]"), False),
    ],
)
def test_only_want_of_something_of_our_own_is_a_shortage(error: Exception, expected: bool) -> None:
    assert is_shortage(error) is expected


def test_that_no_port_is_free_passes_in_time_or_is_something_else() -> None:
    error = OSError(errno.EADDRNOTAVAIL, "cannot assign requested address")
    assert is_shortage(error, waited_seconds=PORTS_RETURN_SECONDS - 1)
    assert not is_shortage(error, waited_seconds=PORTS_RETURN_SECONDS)
    assert is_shortage(OSError(errno.EMFILE, "too many"), waited_seconds=1e9)


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [(64, 200, 200), (200, 200, 200), (100, 1000, 1000)],
)
def test_as_many_files_may_be_open_as_the_system_allows_within_reason(
    soft: int, hard: int, expected: int
) -> None:
    script = (
        "import resource; from truss_async.shortages import raise_file_limit; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); "
        "print(raise_file_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.split() == [str(expected), str(expected), str(hard)]
