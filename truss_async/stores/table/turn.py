"""Whose turn it is to write a table: one process at a time, on whichever machine.

Turns are numbered, an object for each, which is written only if it is not there: of several that take the next number, one
succeeds. Whoever has the highest one has the turn, until it is given back, or was not renewed for long.
"""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ValidationError

from ...errors import ObjectExistsError, ObjectNotFoundError, OutputStoreError

if TYPE_CHECKING:
    from ...clock import Clock
    from ..protocol import ObjectStore

LEASE_SECONDS: Final = 120
RENEWAL_SECONDS: Final = 15

_FOLDER: Final = "turns/"
_KEY: Final = re.compile(r"turns/(\d{8})\.json")


class _Holder(BaseModel):
    machine: str
    process_id: int
    renewed_at: datetime
    is_given_back: bool = False


class Turn:
    """One process's turn at a table. ``machine`` and ``process_id`` are those of this one."""

    def __init__(
        self, table: ObjectStore, *, clock: Clock, machine: str | None = None, process_id: int | None = None
    ) -> None:
        self._table = table
        self._clock = clock
        self._machine = this_machine() if machine is None else machine
        self._process_id = os.getpid() if process_id is None else process_id
        self._number = 0
        self._renewed = 0.0

    def take(self) -> None:
        """Have the turn.

        Raises:
            OutputStoreError: somebody else has it; or the store cannot tell who was first.
        """
        if not self._table.has_conditional_puts:
            raise OutputStoreError(
                f"cannot compact into {self._table.url}: this store cannot prevent two writers at once; compact "
                "into s3://, gs://, azure:// or file://",
                passes=False,
            )
        numbers = self._numbers()
        last = numbers[-1] if numbers else 0
        if (holder := self._holder(last)) is not None and not self._is_over(holder):
            self._refuse(holder)
        self._number = last + 1
        try:
            self._table.put(
                _key(self._number), self._told(), content_type="application/json", only_if_absent=True
            )
        except ObjectExistsError:
            self._refuse(self._holder(self._number))
        self._renewed = self._clock.monotonic()
        for number in numbers:
            self._table.delete(_key(number))

    def keep(self) -> None:
        """Go on having it; to be called between any two steps, the more often the better.

        Raises:
            OutputStoreError: somebody has taken it over, as nothing was heard from here for long.
        """
        if self._clock.monotonic() - self._renewed < RENEWAL_SECONDS:
            return
        self.check()
        self._table.put(_key(self._number), self._told(), content_type="application/json")
        self._renewed = self._clock.monotonic()

    def check(self) -> None:
        """The same, sure of it: before what cannot be taken back."""
        if self._numbers()[-1:] != [self._number]:
            self._refuse(None)

    def give_back(self) -> None:
        """Let the next one have it at once. It does not matter if this cannot be written."""
        with suppress(OutputStoreError):
            if self._numbers()[-1:] == [self._number]:
                told = self._told(is_given_back=True)
                self._table.put(_key(self._number), told, content_type="application/json")

    def _numbers(self) -> list[int]:
        return sorted(
            int(found[1]) for info in self._table.list(_FOLDER) if (found := _KEY.fullmatch(info.key))
        )

    def _holder(self, number: int) -> _Holder | None:
        try:
            with self._table.open(_key(number)) as file:
                return _Holder.model_validate_json(file.read())
        except (ObjectNotFoundError, ValidationError):
            return None

    def _told(self, *, is_given_back: bool = False) -> bytes:
        holder = _Holder(
            machine=self._machine,
            process_id=self._process_id,
            renewed_at=self._clock.now(),
            is_given_back=is_given_back,
        )
        return holder.model_dump_json().encode()

    def _is_over(self, holder: _Holder) -> bool:
        if holder.is_given_back or self._age(holder) > timedelta(seconds=LEASE_SECONDS):
            return True
        # One that was killed here need not be waited for.
        return holder.machine == self._machine and not _is_alive(holder.process_id)

    def _age(self, holder: _Holder) -> timedelta:
        return self._clock.now() - holder.renewed_at

    def _refuse(self, holder: _Holder | None) -> None:
        who = "another process"
        if holder is not None:
            left = max(0, LEASE_SECONDS - int(self._age(holder).total_seconds()))
            who = f"process {holder.process_id} on {holder.machine.partition(' ')[0]}"
            who += f" (if that was killed, it is given up in {left} s)"
        raise OutputStoreError(
            f"cannot compact into {self._table.url}: {who} is already compacting; try again later"
        )


def this_machine() -> str:
    """What tells this machine, its run, and the container that this is in from others, as far as they can be told apart."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(Path("/proc/self/ns/pid").readlink().name)
    return " ".join(parts)


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _key(number: int) -> str:
    return f"{_FOLDER}{number:08d}.json"
