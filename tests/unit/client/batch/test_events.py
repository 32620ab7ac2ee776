"""Server-sent events, however they come in."""

from __future__ import annotations

import pytest

from truss_async.client.batch import events
from truss_async.client.batch.events import EventReader, EventTooLargeError
from truss_async.endpoint.relay import event

BODY = b'{"a":"\xc3\xa9 \\n: data:"}'
STREAM = b": waiting\n\nretry: 1000\n\n" + event(BODY) + b"event: other\ndata: 1\n\n"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_are_found_in_pieces_of_any_size(size: int) -> None:
    reader = EventReader()
    pieces = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    found = [each for piece in pieces for each in reader.feed(piece)]
    assert found == [("result", BODY), ("other", b"1")]


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (b"event: result\r\ndata: 1\r\n\r\n", b"1"),
        (b"event:result\ndata:1\n\n", b"1"),
        (event(b'{\n  "a": 1\r\n}'), b'{\n  "a": 1\n}'),
    ],
)
def test_other_ways_to_write_the_same_are_understood(stream: bytes, data: bytes) -> None:
    assert EventReader().feed(stream) == [("result", data)]


def test_an_event_that_is_not_whole_is_none() -> None:
    assert EventReader().feed(b"event: result\ndata: 1\n") == []


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 40, b"data: 12345\n" * 10])
def test_what_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch, piece: bytes) -> None:
    monkeypatch.setattr(events, "_MOST_BYTES", 30)
    with pytest.raises(EventTooLargeError):
        EventReader().feed(piece)
