from __future__ import annotations

import importlib
import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from truss_async.replicas.launcher import MarkedLines, by_the_line, fail_on_exits, load_as


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


def test_a_print_is_one_write() -> None:
    class Counted(io.FileIO):
        writes = 0

        def write(self, data: Any) -> int:
            self.writes += 1
            return super().write(data)

    raw = Counted(os.devnull, "w")
    unbuffered = io.TextIOWrapper(raw, write_through=True)
    stream = MarkedLines(by_the_line(unbuffered), lambda: "r1")
    for number in range(10):
        print("one", number, "of", 10, file=stream)
    assert raw.writes == 10
    print("half a line", end="", file=stream, flush=True)
    assert raw.writes == 11
    unbuffered.close()


@pytest.mark.parametrize("way", ["sys.exit(3)", "raise KeyboardInterrupt", "raise GeneratorExit"])
def test_whatever_ends_the_loading_is_an_error_that_the_server_sees(way: str) -> None:
    class Wrapper:
        def _load_impl(self) -> None:
            exec(f"import sys; {way}")

    fail_on_exits(Wrapper)
    with pytest.raises(RuntimeError, match="loading ended with "):
        Wrapper()._load_impl()


def test_an_error_of_the_loading_stays_what_it_is() -> None:
    class Wrapper:
        def _load_impl(self) -> None:
            raise ValueError("no weights")

    fail_on_exits(Wrapper)
    fail_on_exits(object)
    with pytest.raises(ValueError, match=r"^no weights$"):
        Wrapper()._load_impl()


def test_a_module_that_is_imported_from_a_copy_names_the_original(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies, originals = tmp_path / "copies", tmp_path / "originals"
    (copies / "half_package").mkdir(parents=True)
    (copies / "half_package" / "__init__.py").touch()
    (copies / "half_package" / "half.py").write_text("def half(n):\n    return n / 0\n")
    monkeypatch.setattr(sys, "path_hooks", list(sys.path_hooks))
    monkeypatch.setattr(sys, "path", [*sys.path, str(copies)])
    load_as(str(copies), str(originals))
    half = importlib.import_module("half_package.half")
    with pytest.raises(ZeroDivisionError) as raised:
        half.half(1)
    assert Path(raised.traceback[-1].path) == originals / "half_package" / "half.py"
    assert half.__file__ == str(copies / "half_package" / "half.py"), "what lies beside it is found there"
    assert not (copies / "half_package" / "__pycache__").exists()
