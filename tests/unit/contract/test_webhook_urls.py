from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truss_async.contract.webhook_urls import MAX_URL_CHARACTERS, WebhookUrl, is_loopback, webhook_url

LONG_NAME = "a." * 125 + "com"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://h.example", WebhookUrl("https", "h.example", 443, "/")),
        ("HTTPS://H.Example:8443/A", WebhookUrl("https", "h.example", 8443, "/A")),
        ("https://h:/x", WebhookUrl("https", "h", 443, "/x")),
        ("https://h?x=1#y", WebhookUrl("https", "h", 443, "/?x=1")),
        ("https://h/?", WebhookUrl("https", "h", 443, "/?")),
        ("https://h/a%2fb%28%40/../%zz//./%7E;x", WebhookUrl("https", "h", 443, "/a%2fb%28%40/../%zz//./%7E;x")),
        ('https://h/|^`{}"<>\\a:b@c', WebhookUrl("https", "h", 443, '/|^`{}"<>\\a:b@c')),
        ("https://bücher.example/é?ü", WebhookUrl("https", "xn--bcher-kva.example", 443, "/%C3%A9?%C3%BC")),
        ("https://u%40x:p%3Ay@h/", WebhookUrl("https", "h", 443, "/", b"u@x:p:y")),
        ("https://token@h/", WebhookUrl("https", "h", 443, "/", b"token:")),
        ("https://a@b@h/", WebhookUrl("https", "h", 443, "/", b"a@b:")),
        ("http://localhost:1/", WebhookUrl("http", "localhost", 1, "/")),
        ("http://LOCALHOST./", WebhookUrl("http", "localhost.", 80, "/")),
        ("http://[::1]:8/", WebhookUrl("http", "::1", 8, "/")),
        ("http://127.1/", WebhookUrl("http", "127.0.0.1", 80, "/")),
        ("https://0x7f000001/", WebhookUrl("https", "127.0.0.1", 443, "/")),
        ("https://[::FFFF:10.0.0.1]/", WebhookUrl("https", "::ffff:a00:1", 443, "/")),
        (f"https://{LONG_NAME}./", WebhookUrl("https", f"{LONG_NAME}.", 443, "/")),
        ("https://" + "a" * 63 + ".example/", WebhookUrl("https", "a" * 63 + ".example", 443, "/")),
    ],
)  # fmt: skip
def test_a_url_is_read_once_and_path_and_query_stay_as_they_are(text: str, expected: WebhookUrl) -> None:
    assert webhook_url(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://" + "a" * 64 + ".example.com", "labels of 1 to 63"),
        ("https://" + "ü" * 63 + ".example.com", "labels of 1 to 63"),
        (f"https://{LONG_NAME}.com", "labels of 1 to 63"),
        ("https://a..example.com", "labels of 1 to 63"),
        ("https://.example.com", "labels of 1 to 63"),
        ("https://./", "labels of 1 to 63"),
        ("https://a,b/", "labels of 1 to 63"),
        ("https://xn--a/", "labels of 1 to 63"),
        ("https://1.2.3.4.5/", "an IP address"),
        ("https://256.1.1.1/", "an IP address"),
        ("https://[::1%25eth0]/", "an IP address"),
        ("https://[::1/", "https://HOST:PORT/PATH"),
        ("https://::1/", "https://HOST:PORT/PATH"),
        ("https:///x", "https://HOST:PORT/PATH"),
        ("https://u:p@/x", "https://HOST:PORT/PATH"),
        ("https://h:1:2/", "https://HOST:PORT/PATH"),
        ("https://h:８０/", "https://HOST:PORT/PATH"),
        ("https://h:-1/", "https://HOST:PORT/PATH"),
        ("https://good.example\\@bad.example/", "https://HOST:PORT/PATH"),
        ("https://h:0/", "from 1 to 65535"),
        ("https://h:65536/", "from 1 to 65535"),
        ("https://u%3Ax:p@h/", "colon"),
        ("https://h/a b", "blanks"),
        ("https://h/\x85", "control characters"),
        ("https://h/\x7f", "control characters"),
        ("https://h/\ud800", "control characters"),
        (" https://h/", "blanks"),
        ("http://h.example/", "https"),
        ("http://localhost.example/", "https"),
        ("http://localhost@h.example/", "https"),
        ("ftp://localhost/", "https"),
        ("//h/", "https"),
        ("https:h", "https"),
        ("h.example", "https"),
        ("https://h/" + "x" * MAX_URL_CHARACTERS, "8192 characters"),
    ],
)
def test_what_cannot_be_sent_to_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        webhook_url(text)


@given(st.text() | st.from_regex(r"https?://[^/]{0,80}(/.{0,20})?", fullmatch=True))
def test_any_text_is_a_url_that_can_be_sent_to_or_refused(text: str) -> None:
    try:
        url = webhook_url(text)
    except ValueError:
        return
    assert url.host.isascii()
    assert url.target.isascii()
    assert url.target.startswith("/")
    for label in url.host.removesuffix(".").split("."):
        label.encode("idna")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("a.localhost.", True), ("127.8.9.1", True), ("::1", True), ("::ffff:127.0.0.1", True),
     ("128.0.0.1", False), ("localhost.example", False), ("::2", False), ("", False)],
)  # fmt: skip
def test_this_machine_is_known_by_its_names_and_addresses(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
