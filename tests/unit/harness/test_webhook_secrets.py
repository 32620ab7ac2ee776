import os
import re
import stat
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.full_disk import no_file_grows_beyond
from truss_async.clock import ManualClock
from truss_async.errors import HarnessError
from truss_async.harness.documents import FileDocument
from truss_async.harness.webhook_secrets import (
    SecretRotatedError,
    UnknownSecretError,
    WebhookSecret,
    WebhookSecrets,
    new_secret,
)

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
GIVEN = "whsec_" + "g1V3" * 9


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


def opened(folder: Path, clock: ManualClock, given: Sequence[str] = ()) -> WebhookSecrets:
    document = FileDocument(folder / "webhook-secrets.json", what="the webhook secrets")
    return WebhookSecrets(document, given=given, clock=clock)


def test_a_new_secret_looks_like_the_platforms() -> None:
    made = {new_secret() for _ in range(50)}
    assert len(made) == 50
    assert all(re.fullmatch(r"whsec_[A-Za-z0-9]{38}", secret) for secret in made)


def test_several_are_active_newest_first_and_given_ones_last(tmp_path: Path, clock: ManualClock) -> None:
    secrets = opened(tmp_path, clock, [GIVEN, "other"])
    first, second = secrets.create(), secrets.create()
    assert secrets.signing() == [second.secret, first.secret, GIVEN, "other"]


def test_created_ones_survive_a_restart_and_given_ones_do_not(tmp_path: Path, clock: ManualClock) -> None:
    first = opened(tmp_path, clock, [GIVEN])
    created = [first.create(), first.create()]
    again = opened(tmp_path, clock)
    assert again.active() == created[::-1]
    assert GIVEN not in (tmp_path / "webhook-secrets.json").read_text()


def test_the_file_is_readable_by_its_owner_only(tmp_path: Path, clock: ManualClock) -> None:
    before = os.umask(0)
    try:
        secrets = opened(tmp_path, clock)
        for change in (secrets.create, secrets.create):
            change()
            assert stat.S_IMODE((tmp_path / "webhook-secrets.json").stat().st_mode) == 0o600
    finally:
        os.umask(before)
    assert [file.name for file in tmp_path.iterdir()] == ["webhook-secrets.json"]


def test_a_rotated_secret_signs_for_24_hours_more(tmp_path: Path, clock: ManualClock) -> None:
    secrets = opened(tmp_path, clock)
    old = secrets.create()
    new, ending = secrets.rotate(old.id)
    assert (ending.id, ending.secret) == (old.id, old.secret)
    clock.advance(hours=24, seconds=-1)
    assert secrets.signing() == [new.secret, old.secret]
    assert opened(tmp_path, clock).signing() == [new.secret, old.secret]
    clock.advance(seconds=1)
    assert secrets.signing() == [new.secret]
    assert opened(tmp_path, clock).signing() == [new.secret]


def test_an_ended_secret_is_erased_with_the_next_change(tmp_path: Path, clock: ManualClock) -> None:
    secrets = opened(tmp_path, clock)
    old = secrets.create()
    secrets.rotate(old.id)
    clock.advance(hours=24)
    secrets.create()
    assert old.secret not in (tmp_path / "webhook-secrets.json").read_text()


def test_a_given_secret_can_be_rotated_and_removed(tmp_path: Path, clock: ManualClock) -> None:
    secrets = opened(tmp_path, clock, [GIVEN, "other"])
    new, _ = secrets.rotate("given-1")
    secrets.remove("given-2")
    assert secrets.signing() == [new.secret, GIVEN]
    clock.advance(hours=24)
    assert secrets.signing() == [new.secret]


def test_a_secret_is_rotated_once(tmp_path: Path, clock: ManualClock) -> None:
    secrets = opened(tmp_path, clock)
    old = secrets.create()
    secrets.rotate(old.id)
    with pytest.raises(SecretRotatedError, match=old.id):
        secrets.rotate(old.id)


def test_a_removed_secret_ends_at_once(tmp_path: Path, clock: ManualClock) -> None:
    secrets = opened(tmp_path, clock)
    created = secrets.create()
    secrets.remove(created.id)
    assert (secrets.signing(), opened(tmp_path, clock).signing()) == ([], [])
    for change in (secrets.remove, secrets.rotate):
        with pytest.raises(UnknownSecretError, match=created.id):
            change(created.id)


def test_a_secret_given_twice_signs_once(tmp_path: Path, clock: ManualClock) -> None:
    assert opened(tmp_path, clock, [GIVEN, GIVEN]).signing() == [GIVEN]


@pytest.mark.parametrize(
    ("secret", "masked"),
    [("whsec_" + "a" * 34 + "WXYZ", "whsec_…WXYZ"), ("whsec_short", "whsec_…"), ("short", "…")],
)
def test_a_masked_secret_tells_little(secret: str, masked: str) -> None:
    assert WebhookSecret(id="x", secret=secret, created_at=START).masked == masked


@pytest.mark.parametrize("content", ["", "{", '{"version": 2, "secrets": []}', '{"secrets": [{"id": 1}]}'])
def test_what_another_version_wrote_is_refused_and_left_alone(
    tmp_path: Path, clock: ManualClock, content: str
) -> None:
    file = tmp_path / "webhook-secrets.json"
    file.write_text(content)
    with pytest.raises(HarnessError, match=re.escape(str(file))):
        opened(tmp_path, clock)
    assert file.read_text() == content


def test_a_full_disk_loses_no_secret(tmp_path: Path, clock: ManualClock) -> None:
    secrets = opened(tmp_path, clock)
    kept = secrets.create()
    with no_file_grows_beyond(100), pytest.raises(HarnessError, match="cannot write the webhook secrets"):
        secrets.create()
    assert secrets.active() == opened(tmp_path, clock).active() == [kept]
    assert len([*tmp_path.iterdir()]) == 1


def test_a_secret_that_cannot_be_kept_is_not_made(tmp_path: Path, clock: ManualClock) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    secrets = opened(folder, clock)
    folder.rmdir()
    with pytest.raises(HarnessError, match="cannot write the webhook secrets"):
        secrets.create()
    assert secrets.active() == []
