from truss_async.harness.sent_headers import SentHeaders


def test_the_headers_of_the_latest_attempts_are_kept_and_no_login() -> None:
    sent = SentHeaders(max_attempts=2)
    for attempt in (1, 2, 3):
        sent.keep("a", attempt, {"X": str(attempt), "Authorization": "Basic c2VjcmV0"})
    assert sent.of("a", 1) is None
    assert sent.of("a", 3) == {"X": "3", "Authorization": "Basic …"}
    assert sent.of("b", 3) is None
