"""What a receiver may rely on: an authentic webhook passes, anything else gets a verdict."""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.webhooks.conftest import Vector, load_vectors
from truss_async import webhooks
from truss_async.clock import SYSTEM_CLOCK, ManualClock
from truss_async.contract import AsyncPredictResult
from truss_async.errors import WebhookVerificationError
from truss_async.webhooks import signature_header, verify_webhook
from truss_async.webhooks.secrets import VARIABLES

SIGNED, ROTATED = load_vectors()[:2]
NEW, OLD = ROTATED.secrets
HEADER = "X-BASETEN-SIGNATURE"


def sign(body: bytes, *secrets: str) -> dict[str, str]:
    macs = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in secrets or (NEW,)]
    return {HEADER: ",".join(f"v1={mac}" for mac in macs)}


def verify(
    vector: Vector, *, body: Any = None, headers: Any = None, secrets: Any = None, **options: Any
) -> AsyncPredictResult:
    """Verify a vector at the moment it was sent, with what is given in place of its own."""
    return verify_webhook(
        vector.body if body is None else body,
        vector.headers if headers is None else headers,
        vector.secrets if secrets is None else secrets,
        **{"now": vector.time, **options},
    )


def test_signature_header_is_what_openssl_computes(vector: Vector) -> None:
    assert signature_header(vector.body, vector.secrets) == vector.signature_header


def test_an_authentic_webhook_is_returned_parsed(vector: Vector) -> None:
    assert verify(vector).time == vector.time


def test_the_parsed_result_dumped_again_has_the_same_signature(vector: Vector) -> None:
    dumped = verify(vector).model_dump_json().encode()
    assert signature_header(dumped, vector.secrets) == vector.signature_header


@pytest.mark.parametrize("depth", [199, 200, 255, 1_000, 10_000])
def test_a_signed_result_passes_at_any_depth_that_is_sent_and_verifies_both_ways(depth: int) -> None:
    sent = AsyncPredictResult(request_id="r", time=SIGNED.time, data=None).model_dump_json()
    body = sent.replace('"data":null', f'"data":{"[" * depth + "]" * depth}').encode()
    assert verify(SIGNED, body=body, headers=sign(body, *SIGNED.secrets)).model_dump_json().encode() == body


def test_a_result_that_is_nested_deeper_is_proven_and_refused_in_words() -> None:
    body = b'{"request_id":"r","time":0,"data":' + b"[" * 10_001 + b"]" * 10_001 + b"}"
    with pytest.raises(WebhookVerificationError, match="nested deeper than 10,000 levels") as caught:
        verify(SIGNED, body=body, headers=sign(body, *SIGNED.secrets))
    assert caught.value.status_code == 400


@pytest.mark.parametrize(
    "secrets",
    [[NEW], [OLD], [OLD, NEW], NEW, OLD, (NEW, ""), ("", OLD), {NEW}, ["whsec_another", OLD]],
    ids=str,
)
def test_any_signature_with_any_secret_is_enough(rotated: Vector, secrets: Any) -> None:
    assert verify(rotated, secrets=secrets).request_id == "2" * 32


@pytest.mark.parametrize(
    "shape",
    [
        lambda value: {HEADER.lower(): value},
        lambda value: {"x-BaSeTeN-sIgNaTuRe": value},
        lambda value: {HEADER.encode(): value.encode()},
        lambda value: [(HEADER, value)],
        lambda value: [(HEADER.lower().encode(), value.encode())],
        lambda value: {HEADER: [value]},
        lambda value: [(HEADER, "v1=" + "0" * 64), (HEADER, value)],
        lambda value: {HEADER: f" v1=00 ,\t{value} , v2=ff"},
        lambda value: {HEADER: value, None: "x", "other": None},
        lambda value: {HEADER: bytearray(value.encode())},
    ],
)
def test_headers_come_in_many_shapes(signed: Vector, shape: Callable[[str], Any]) -> None:
    assert verify(signed, headers=shape(signed.signature_header))


@pytest.mark.parametrize("pasted", [f"{NEW}\n", f" {NEW}\r\n", f'"{NEW}"', f"'{NEW}' ", f"\ufeff{NEW}"])
def test_what_was_pasted_along_with_a_secret_is_no_part_of_it(
    rotated: Vector, monkeypatch: pytest.MonkeyPatch, pasted: str
) -> None:
    assert verify(rotated, secrets=pasted)
    for value in (pasted, f"whsec_another,{pasted}", f"{pasted},{pasted}", f'"whsec_another,{NEW}"'):
        monkeypatch.setenv("TRUSS_ASYNC_WEBHOOK_SECRETS", value)
        assert verify_webhook(rotated.body, rotated.headers, now=rotated.time)


class Raises:
    """Raises at whatever is asked of it."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error

    def __iter__(self) -> Any:
        raise self._error


class RaisesLater(Raises):
    """Gives something first."""

    def items(self) -> Any:
        yield ("X-Other", "1")
        raise self._error

    def __iter__(self) -> Any:
        return self.items()


class OddText(str):
    """Text whose methods are anybody's."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        raise LookupError

    strip = lower = startswith = split = __len__ = __str__ = encode  # type: ignore[assignment]


class OddBytes(bytes):
    """Bytes that cannot be made bytes."""

    def __bytes__(self) -> bytes:
        raise LookupError

    decode = __bytes__  # type: ignore[assignment]


class OddMoment(datetime):
    """A moment that nothing can be taken from."""

    def __sub__(self, other: Any) -> Any:
        raise LookupError


def endless() -> Iterator[Any]:
    while True:
        yield ("X-Other", "1")


ERRORS = [KeyError("x"), RuntimeError("x"), StopIteration(), RecursionError(), MemoryError(), OSError(5, "x")]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("kind", [Raises, RaisesLater])
@pytest.mark.parametrize("place", ["headers", "secrets"])
def test_whatever_an_object_of_the_receivers_own_raises_becomes_a_verdict(
    signed: Vector, error: Exception, kind: type[Raises], place: str
) -> None:
    with pytest.raises(WebhookVerificationError, match=f"the {place} cannot be read: ") as caught:
        verify(signed, **{place: kind(error)})
    assert caught.value.status_code == 500, "so that the sender comes again"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"headers": endless()}, "more than 10000 headers"),
        ({"secrets": iter(lambda: "whsec_x", None)}, "more than 1000 webhook secrets"),
        ({"now": lambda: 1 / 0}, "now, or tolerance, cannot be read: ZeroDivisionError"),
        ({"now": lambda: None}, "now must be"),
        ({"now": OddMoment(2026, 1, 1, tzinfo=timezone.utc)}, "cannot be read: LookupError"),
        ({"tolerance": -(10**5000)}, "cannot be read: ValueError"),
    ],
)
def test_what_is_endless_or_odd_gets_a_verdict_too(
    signed: Vector, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(WebhookVerificationError, match=message):
        verify(signed, **changes)


def test_text_and_bytes_of_types_of_ones_own_are_read_as_what_they_are(rotated: Vector) -> None:
    headers = {OddText("X-BASETEN-SIGNATURE"): OddText(rotated.signature_header)}
    assert verify(rotated, headers=headers, secrets=[OddText(NEW)], body=OddBytes(rotated.body))
    raw = {OddBytes(b"X-BASETEN-SIGNATURE"): OddBytes(rotated.signature_header.encode())}
    assert verify(rotated, headers=raw)


def test_a_clock_of_ones_own_tells_now(signed: Vector) -> None:
    assert verify(signed, now=ManualClock(signed.time).now)
    with pytest.raises(WebhookVerificationError, match="too old"):
        verify(signed, now=ManualClock(signed.time + timedelta(hours=1)).now)


@pytest.mark.parametrize("seconds", [-300, -299.9, 0, 300])
@pytest.mark.parametrize("tolerance", [300, 300.0, timedelta(minutes=5)])
def test_an_age_within_the_tolerance_passes(signed: Vector, seconds: float, tolerance: Any) -> None:
    assert verify(signed, now=signed.time + timedelta(seconds=seconds), tolerance=tolerance)


def test_a_time_without_zone_is_read_as_utc(signed: Vector) -> None:
    body = signed.body.replace(b"883423Z", b"883423")
    assert verify(signed, body=body, headers=sign(body))


def test_now_is_the_machines_time_unless_given(signed: Vector) -> None:
    moment = SYSTEM_CLOCK.now().isoformat().encode()
    body = signed.body.replace(b"2024-04-30T01:01:08.883423Z", moment)
    assert verify_webhook(body, sign(body), NEW).request_id == signed.body[15:47].decode()


def test_a_signed_output_that_is_no_strict_json_still_gets_through(signed: Vector) -> None:
    body = signed.body.replace(b'{"total":12}', b"[NaN,Infinity,123456789012345678901234567890]")
    assert verify(signed, body=body, headers=sign(body)).data[2] == 123456789012345678901234567890


def replaced(old: bytes, new: bytes) -> bytes:
    assert old in SIGNED.body
    return SIGNED.body.replace(old, new)


MAC = SIGNED.signature_header.removeprefix("v1=")

# (what is wrong, arguments, what the message says)
FORGED: list[tuple[str, dict[str, Any], str]] = [
    # The header.
    ("no headers", {"headers": {}}, "missing"),
    ("no headers in a list", {"headers": []}, "missing"),
    ("headers a number", {"headers": 7}, "headers must be"),
    ("headers a text", {"headers": "X-BASETEN-SIGNATURE: v1="}, "headers must be"),
    ("headers not in pairs", {"headers": [(HEADER, "v1=", "more")]}, "headers must be"),
    ("another header's name", {"headers": {"X-SIGNATURE": SIGNED.signature_header}}, "missing"),
    ("name with a blank", {"headers": {HEADER + " ": SIGNED.signature_header}}, "missing"),
    ("name with underscores", {"headers": {HEADER.replace("-", "_"): SIGNED.signature_header}}, "missing"),
    ("value None", {"headers": {HEADER: None}}, "missing"),
    ("value a number", {"headers": {HEADER: 5}}, "missing"),
    ("value empty", {"headers": {HEADER: ""}}, "missing"),
    ("value empty bytes", {"headers": {HEADER: b""}}, "missing"),
    ("value of Nones", {"headers": {HEADER: [None, None]}}, "missing"),
    ("only commas", {"headers": {HEADER: ",,,"}}, "holds no v1="),
    ("only blanks", {"headers": {HEADER: "   "}}, "holds no v1="),
    ("no version", {"headers": {HEADER: MAC}}, "holds no v1="),
    ("another version", {"headers": {HEADER: "v2=" + MAC}}, "holds no v1="),
    ("version in capitals", {"headers": {HEADER: "V1=" + MAC}}, "holds no v1="),
    ("the wrong separator", {"headers": {HEADER: "v1:" + MAC}}, "holds no v1="),
    ("algorithm's name", {"headers": {HEADER: "sha256=" + MAC}}, "holds no v1="),
    ("a signature after a semicolon", {"headers": {HEADER: "v1=00;v1=" + MAC}}, "does not match"),
    ("empty signature", {"headers": {HEADER: "v1="}}, "does not match"),
    ("zeros", {"headers": {HEADER: "v1=" + "0" * 64}}, "does not match"),
    ("signature in capitals", {"headers": {HEADER: "v1=" + MAC.upper()}}, "does not match"),
    ("signature cut by one", {"headers": {HEADER: "v1=" + MAC[:-1]}}, "does not match"),
    ("signature with one more", {"headers": {HEADER: "v1=" + MAC + "0"}}, "does not match"),
    ("signature twice in one", {"headers": {HEADER: "v1=" + MAC + MAC}}, "does not match"),
    ("blank inside", {"headers": {HEADER: "v1= " + MAC}}, "does not match"),
    ("quoted", {"headers": {HEADER: f'v1="{MAC}"'}}, "does not match"),
    ("non-ASCII signature", {"headers": {HEADER: "v1=" + "é" * 64}}, "does not match"),
    ("lone surrogate", {"headers": {HEADER: "v1=\ud800"}}, "does not match"),
    ("bytes beyond UTF-8", {"headers": {HEADER: b"v1=\xff\xfe"}}, "does not match"),
    ("NUL", {"headers": {HEADER: "v1=\x00" + MAC}}, "does not match"),
    ("full-width digits", {"headers": {HEADER: "v1=" + "\uff11" * 64}}, "does not match"),
    ("other body's signature", {"headers": ROTATED.headers}, "does not match"),
    ("a hundred wrong ones", {"headers": {HEADER: ",".join(["v1=" + "a" * 64] * 100)}}, "100 signatures"),
    ("a huge header", {"headers": {HEADER: "v1=" + "a" * 1_000_000}}, "too long"),
    ("right one in a huge header", {"headers": {HEADER: "v1=0," * 9999 + "v1=" + MAC}}, "too long"),
    # The body.
    ("empty body", {"body": b""}, "does not match"),
    ("one byte more", {"body": SIGNED.body + b"\n"}, "does not match"),
    ("one byte less", {"body": SIGNED.body[:-1]}, "does not match"),
    ("byte order mark", {"body": b"\xef\xbb\xbf" + SIGNED.body}, "does not match"),
    ("white space added", {"body": replaced(b'":', b'": ')}, "does not match"),
    ("output changed", {"body": replaced(b"12", b"13")}, "does not match"),
    ("request id changed", {"body": replaced(b"1" * 32, b"2" * 32)}, "does not match"),
    ("time freshened", {"body": replaced(b"2024-04-30", b"2024-04-31")}, "does not match"),
    ("a key repeated", {"body": replaced(b'"errors"', b'"data":1,"errors"')}, "does not match"),
    ("body as text", {"body": SIGNED.body.decode()}, "raw bytes"),
    ("body parsed", {"body": {"request_id": "1"}}, "raw bytes"),
    # The secret.
    ("another secret", {"secrets": OLD}, "does not match"),
    ("secret without its prefix", {"secrets": NEW.removeprefix("whsec_")}, "does not match"),
    (
        "secret with a line break inside",
        {"secrets": NEW[:9] + "\n" + NEW[9:]},
        "a webhook secret contains a line break",
    ),
    ("secret in lower case", {"secrets": NEW.lower()}, "does not match"),
    ("secret a surrogate", {"secrets": "\ud800"}, "does not match"),
    ("no secrets", {"secrets": []}, "no webhook secret"),
    ("blank secrets", {"secrets": ["", None]}, "no webhook secret"),
    ("signed with a blank secret", {"secrets": "", "headers": sign(SIGNED.body, "")}, "no webhook secret"),
    ("secrets a number", {"secrets": 5}, "list of webhook secrets"),
    ("secrets bytes", {"secrets": [NEW.encode()]}, "must be a string"),
    # The age.
    ("replayed after 301 s", {"now": SIGNED.time + timedelta(seconds=301)}, "too old: sent 301 s ago"),
    ("replayed after two years", {"now": SIGNED.time + timedelta(days=730)}, "too old"),
    ("from the future", {"now": SIGNED.time - timedelta(seconds=301)}, "301 s in the future"),
    ("older than a small tolerance", {"now": SIGNED.time + timedelta(seconds=3), "tolerance": 2}, "too old"),
    ("tolerance nothing", {"now": SIGNED.time + timedelta(seconds=1), "tolerance": timedelta()}, "too old"),
    ("tolerance below zero", {"tolerance": -1}, "allowed"),
    ("tolerance NaN", {"tolerance": float("nan")}, "allowed"),
    ("tolerance text", {"tolerance": "300"}, "tolerance must be"),
    ("tolerance None", {"tolerance": None}, "tolerance must be"),
    ("now without a zone", {"now": SIGNED.time.replace(tzinfo=None)}, "now must be"),
    ("now a number", {"now": 1714438868}, "now must be"),
]


@pytest.mark.parametrize(("changes", "message"), [row[1:] for row in FORGED], ids=[row[0] for row in FORGED])
def test_a_broken_or_forged_webhook_is_refused_with_the_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(WebhookVerificationError, match=message):
        verify(SIGNED, **changes)


# Correctly signed, and still no async predict result: (what is wrong, body)
MALFORMED: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("text", b"not json"),
    ("an array", b"[]"),
    ("null", b"null"),
    ("a number", b"1e999999"),
    ("an empty object", b"{}"),
    ("cut in the middle", SIGNED.body[:60]),
    ("two objects", SIGNED.body * 2),
    ("invalid UTF-8", replaced(b"12", b'"\xff"')),
    ("UTF-16", SIGNED.body.decode().encode("utf-16")),
    ("byte order mark", b"\xef\xbb\xbf" + SIGNED.body),
    ("lone surrogate", replaced(b"12", b'"\\ud800"')),
    ("control character", replaced(b"12", b'"\x00"')),
    ("integer of 10,000 digits", replaced(b"12", b"1" * 10_000)),
    ("nested 100,000 deep", replaced(b"12", b"[" * 100_000 + b"]" * 100_000)),
    ("nested and never closed", b"[" * 1_000_000),
    ("objects nested deep", b'{"a":' * 100_000),
    ("no request id", replaced(b'"request_id":"' + b"1" * 32 + b'",', b"")),
    ("request id a number", replaced(b'"' + b"1" * 32 + b'"', b"1")),
    ("another type", replaced(b"async_request_completed", b"something_else")),
    ("no time", replaced(b'"time":"2024-04-30T01:01:08.883423Z",', b"")),
    ("time null", replaced(b'"2024-04-30T01:01:08.883423Z"', b"null")),
    ("time no date", replaced(b"2024-04-30", b"2024-13-99")),
    ("time beyond the calendar", replaced(b'"2024-04-30T01:01:08.883423Z"', b"1e300")),
    ("errors an object", replaced(b'"errors":[]', b'"errors":{}')),
    ("errors without code", replaced(b'"errors":[]', b'"errors":[{"message":"x"}]')),
]


@pytest.mark.parametrize("body", [row[1] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
def test_a_signed_body_that_is_no_result_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookVerificationError, match="not an async predict result"):
        verify(SIGNED, body=body, headers=sign(body))


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "-1", "0"])
def test_the_ends_of_the_calendar_are_only_too_old_or_too_new(moment: str) -> None:
    body = replaced(b"2024-04-30T01:01:08.883423Z", moment.encode())
    with pytest.raises(WebhookVerificationError, match=r"too old|in the future"):
        verify(SIGNED, body=body, headers=sign(body))


@pytest.mark.parametrize("place", range(3))
def test_none_in_any_place_is_refused(signed: Vector, place: int) -> None:
    arguments: list[Any] = [signed.body, signed.headers, signed.secrets]
    arguments[place] = None
    with pytest.raises(WebhookVerificationError, match=r"must be|no webhook secret"):
        verify_webhook(*arguments)


@pytest.mark.parametrize(
    ("variables", "is_accepted"),
    [
        ({"TRUSS_ASYNC_WEBHOOK_SECRETS": NEW}, True),
        ({"TRUSS_ASYNC_WEBHOOK_SECRETS": f" whsec_another ,, {NEW},"}, True),
        ({"TRUSS_ASYNC_WEBHOOK_SECRET": NEW}, True),
        ({"TRUSS_ASYNC_WEBHOOK_SECRETS": "", "TRUSS_ASYNC_WEBHOOK_SECRET": NEW}, True),
        ({"TRUSS_ASYNC_WEBHOOK_SECRETS": OLD, "TRUSS_ASYNC_WEBHOOK_SECRET": NEW}, False),
        ({"TRUSS_ASYNC_WEBHOOK_SECRETS": " , "}, False),
        ({}, False),
    ],
)
def test_secrets_come_from_the_environment_when_none_are_given(
    signed: Vector, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], is_accepted: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with nullcontext() if is_accepted else pytest.raises(WebhookVerificationError):
        assert verify_webhook(signed.body, signed.headers, now=signed.time)
    with pytest.raises(WebhookVerificationError, match="no webhook secret"):
        verify_webhook(signed.body, signed.headers, [], now=signed.time)


def test_the_error_says_what_to_answer(signed: Vector) -> None:
    changes: list[tuple[dict[str, Any], int]] = [
        ({"headers": {}}, 401),
        ({"now": signed.time + timedelta(days=1)}, 401),
        ({"body": b"{}", "headers": sign(b"{}")}, 400),
        ({"secrets": []}, 500),
    ]
    for change, status_code in changes:
        with pytest.raises(WebhookVerificationError) as caught:
            verify(signed, **change)
        assert caught.value.status_code == status_code


def test_a_huge_body_gets_a_verdict_too(signed: Vector) -> None:
    huge = replaced(b'{"total":12}', b'"' + b"x" * 30_000_000 + b'"')
    assert len(verify(signed, body=huge, headers=sign(huge)).data) == 30_000_000
    with pytest.raises(WebhookVerificationError, match="does not match"):
        verify(signed, body=huge)
    noise = b"\xff" * 30_000_000
    with pytest.raises(WebhookVerificationError, match="not an async predict result"):
        verify(signed, body=noise, headers=sign(noise))


def test_nothing_is_parsed_before_the_signature_is_proven() -> None:
    with pytest.raises(WebhookVerificationError, match="signature does not match"):
        verify(SIGNED, body=b"not json")


def test_a_message_quotes_neither_secret_nor_output() -> None:
    body = replaced(b'"async_request_completed"', b'"confidential output"')
    with pytest.raises(WebhookVerificationError) as caught:
        verify(SIGNED, body=body, headers=sign(body))
    assert "confidential" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    with pytest.raises(WebhookVerificationError) as caught:
        verify(SIGNED, secrets=OLD)
    assert OLD not in str(caught.value)


def test_every_changed_byte_of_the_body_is_refused() -> None:
    for place in range(len(SIGNED.body)):
        for bit in (0x01, 0x20, 0x80):
            changed = bytearray(SIGNED.body)
            changed[place] ^= bit
            with pytest.raises(WebhookVerificationError):
                verify(SIGNED, body=bytes(changed))


def test_every_changed_byte_of_the_signature_is_refused() -> None:
    value = SIGNED.signature_header.encode()
    for place in range(len(value)):
        for bit in (0x01, 0x20, 0x80):
            changed = bytearray(value)
            changed[place] ^= bit
            with pytest.raises(WebhookVerificationError):
                verify(SIGNED, headers={HEADER.encode(): bytes(changed)})


@pytest.fixture(autouse=True)
def _no_secrets_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


scalars = st.one_of(
    st.none(), st.text(), st.binary(), st.integers(), st.sampled_from([HEADER, "v1=", "v1=" + MAC, ","])
)
any_headers = st.one_of(
    scalars,
    st.dictionaries(scalars, st.one_of(scalars, st.lists(scalars)), max_size=4),
    st.lists(st.one_of(st.tuples(scalars, scalars), scalars), max_size=4),
)


@given(
    body=st.one_of(st.binary(), scalars), headers=any_headers, secrets=st.one_of(scalars, st.lists(scalars))
)
def test_whatever_comes_gets_a_verdict(body: Any, headers: Any, secrets: Any) -> None:
    with pytest.raises(WebhookVerificationError):
        verify_webhook(body, headers, secrets)


json_like = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
)


@given(
    body=st.one_of(
        st.binary(),
        st.text().map(lambda text: text.encode("utf-8", "surrogatepass")),
        json_like.map(lambda v: repr(v).encode("utf-8", "replace")),
    )
)
def test_any_signed_bytes_get_a_verdict(body: bytes) -> None:
    with pytest.raises(WebhookVerificationError):
        verify_webhook(body, sign(body), NEW)


def test_the_public_names_are_these() -> None:
    assert webhooks.__all__ == [
        "AcceptedDelivery",
        "Deduplicator",
        "Delivery",
        "FailedResult",
        "HandledStore",
        "MemoryHandledStore",
        "ResultInbox",
        "SqliteHandledStore",
        "WebhookMiddleware",
        "WebhookReceiver",
        "flask_webhook",
        "on_result",
        "signature_header",
        "starlette_webhook",
        "verify_webhook",
        "verify_wsgi",
    ]


BLANKS = st.text(" \t", max_size=3)
NOISE = st.sampled_from(["v1=" + "0" * 64, "v2=ff", "v1=", "", "x", "v1=\u00e9"])


@st.composite
def genuine_headers(draw: st.DrawFn) -> Any:
    """The signature among others, with a name in any case, as text or bytes, in a mapping, a list or an iterator."""
    values = draw(st.lists(NOISE, max_size=4))
    values.insert(draw(st.integers(0, len(values))), SIGNED.signature_header)
    value = ",".join(draw(BLANKS) + each + draw(BLANKS) for each in values)
    name = "".join(draw(st.sampled_from([each.lower(), each.upper()])) for each in HEADER)
    others = draw(
        st.dictionaries(st.text("abcXYZ-", min_size=1, max_size=8), st.text(max_size=8), max_size=4)
    )
    pairs: list[Any] = [*others.items(), (name, draw(st.sampled_from([value, [value], (value,)])))]
    if draw(st.booleans()) and value.isascii() and isinstance(pairs[-1][1], str):
        pairs[-1] = (name.encode(), value.encode())
    pairs = draw(st.permutations(pairs))
    return draw(st.sampled_from([pairs, dict(pairs), iter(pairs), tuple(pairs)]))


@given(genuine_headers())
def test_a_genuine_signature_is_found_in_headers_of_any_shape(headers: Any) -> None:
    assert verify(SIGNED, headers=headers).time == SIGNED.time


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=5), inner)
    ),
    max_leaves=8,
)


@given(st.binary(max_size=50), ANYTHING, ANYTHING, ANYTHING, ANYTHING)
def test_whatever_is_given_nothing_but_a_verdict_comes_out(
    body: bytes, headers: Any, secrets: Any, now: Any, tolerance: Any
) -> None:
    for changes in (
        {"body": body, "headers": headers, "secrets": secrets},
        {"now": now, "tolerance": tolerance},
        {"headers": headers, "secrets": secrets, "now": now},
    ):
        with suppress(WebhookVerificationError):
            verify_webhook(
                **{"body": SIGNED.body, "headers": SIGNED.headers, "secrets": SIGNED.secrets, **changes}
            )
