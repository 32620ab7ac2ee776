from __future__ import annotations

import io

from truss_async.replicas.launcher import MarkedLines


def test_each_line_printed_for_a_request_is_marked_with_its_id() -> None:
    written = io.StringIO()
    current: list[str | None] = [None]
    stream = MarkedLines(written, lambda: current[0])
    print("loading", file=stream)
    current[0] = "r1"
    print("one", 1, file=stream)
    print("two\nthree", end="", file=stream)
    print(file=stream)
    current[0] = None
    stream.writelines(["done\n"])
    stream.flush()
    assert written.getvalue() == "loading\n\x1dr1\x1done 1\n\x1dr1\x1dtwo\n\x1dr1\x1dthree\ndone\n"
