from __future__ import annotations

import json
from datetime import datetime, timezone

from hypothesis import given
from hypothesis import strategies as st

from truss_async.replicas.logs import (
    MAX_LINE_BYTES,
    LineSplitter,
    ReplicaLogLine,
    ServerRecord,
    parse_line,
    render_log_line,
    short_id,
)

NOON = datetime(2026, 1, 1, 12, 0, 1).astimezone()


def record(message: str, **fields: str) -> bytes:
    return json.dumps({"asctime": "t", "levelname": "INFO", "message": message} | fields).encode()


def test_log_record_of_the_server_keeps_its_level_and_request_id() -> None:
    line = record("slow page", levelname="WARNING", request_id="3f2a00009c")
    assert parse_line(line) == ServerRecord("slow page", "warning", "3f2a00009c")


def test_what_the_model_prints_stays_as_it_is() -> None:
    assert parse_line(b"hello, {world}") == ServerRecord("hello, {world}")
    assert parse_line(b'{"message": "my own JSON"}') == ServerRecord('{"message": "my own JSON"}')
    assert parse_line(b'{"asctime": 1') == ServerRecord('{"asctime": 1')


def test_a_line_printed_for_a_request_keeps_its_id() -> None:
    assert parse_line(b"\x1d3f2a00009c\x1dhello") == ServerRecord("hello", request_id="3f2a00009c")
    assert parse_line(b"\x1d3f2a00009c\x1d10%\r20%") == ServerRecord("20%", request_id="3f2a00009c")
    assert parse_line(b"\x1d3f2a00009c\x1d") is None
    assert parse_line(b"\x1dno end") == ServerRecord("\x1dno end")


def test_note_of_a_handled_request_is_dropped() -> None:
    assert parse_line(record("Handled request: POST /v1/models/model:predict HTTP/1.1 200")) is None


def test_blank_line_is_dropped() -> None:
    assert parse_line(b"   ") is None


def test_routine_of_the_server_is_debug() -> None:
    for message in ("Started server process [7]", "Executing model.load()...", "Shutting down"):
        parsed = parse_line(record(message))
        assert parsed is not None
        assert parsed.level == "debug"


def test_error_that_sounds_like_routine_stays_an_error() -> None:
    assert parse_line(record("Shutting down", levelname="ERROR")) == ServerRecord("Shutting down", "error")


def test_traceback_in_a_record_becomes_lines_of_the_same_request() -> None:
    parsed = parse_line(
        record("Internal error", levelname="ERROR", request_id="ab", exc_info="Traceback\nKeyError: 1")
    )
    assert parsed is not None
    assert list(parsed.lines("replica-1")) == [
        ReplicaLogLine("replica-1", text, "error", "ab", goes_on=goes_on)
        for text, goes_on in (("Internal error", True), ("Traceback", True), ("KeyError: 1", False))
    ]


def test_progress_bar_shows_its_last_state() -> None:
    assert parse_line(b"10%\r50%\r100%") == ServerRecord("100%")


def test_rendered_line_has_time_replica_and_request_id() -> None:
    line = ReplicaLogLine("replica-1", "page read", request_id="3f2a91bc" * 4)
    assert render_log_line(line, now=NOON) == f"12:00:01 replica-1 [{'3f2a91bc' * 4}] page read"
    assert render_log_line(line, now=NOON, as_id=short_id) == "12:00:01 replica-1 [3f2a91bc] page read"


def test_rendered_warning_says_that_it_is_one() -> None:
    line = ReplicaLogLine("replica-2", "careful", "warning")
    assert render_log_line(line, now=NOON) == "12:00:01 replica-2 WARNING careful"


def test_time_is_shown_in_local_time() -> None:
    now = NOON.astimezone(timezone.utc)
    assert render_log_line(ReplicaLogLine("replica-1", "x"), now=now).startswith("12:00:01 ")


def test_endless_line_is_cut_and_the_next_one_is_whole() -> None:
    splitter = LineSplitter()
    lines = [line for _ in range(64) for line in splitter.feed(b"x" * 4096)]
    lines += splitter.feed(b"end of it\nnext\n")
    assert len(lines) == 2
    assert lines[0].startswith(b"x" * MAX_LINE_BYTES)
    assert len(lines[0]) < MAX_LINE_BYTES + 100
    assert lines[1] == b"next"


@given(lines=st.lists(st.binary(max_size=40).filter(lambda b: b"\n" not in b)), cut=st.integers(1, 7))
def test_lines_come_out_the_same_however_the_stream_is_cut(lines: list[bytes], cut: int) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    splitter = LineSplitter()
    seen = [line for at in range(0, len(stream), cut) for line in splitter.feed(stream[at : at + cut])]
    assert seen + list(splitter.close()) == lines


@given(st.binary(max_size=200))
def test_no_line_is_too_strange_to_parse(line: bytes) -> None:
    parsed = parse_line(line)
    assert parsed is None or render_log_line(next(parsed.lines("replica-1")), now=NOON)
