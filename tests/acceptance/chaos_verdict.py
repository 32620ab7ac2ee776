"""What is noted during a chaos trial beside the nodes, by the database itself, by the models and by the receiver; and what to make of it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Any

from truss_async.demo.postgres_server import PostgresServer
from truss_async.harness.decisions import MAX_INTERRUPTIONS
from truss_async.webhooks.receiver import Delivery

_SHOWN = 5
# Who held which request since when, and when his lease was over: by the database's clock, and in the nodes' own transactions.
AUDIT = """
CREATE SCHEMA audit;
CREATE TABLE audit.held (request_id text, owner bigint, node text, delivers boolean, at bigint);
CREATE TABLE audit.over (owner bigint, at bigint, lease_ends_at bigint, ended_by text);

CREATE FUNCTION audit.note_held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO audit.held
    VALUES (NEW.request_id, NEW.owner, session_user, NEW.finished_at IS NOT NULL, truss_async.now_micros());
  RETURN NULL;
END $$;
CREATE TRIGGER begun AFTER INSERT ON truss_async.requests
  FOR EACH ROW WHEN (NEW.owner IS NOT NULL) EXECUTE FUNCTION audit.note_held();
CREATE TRIGGER went_on AFTER UPDATE ON truss_async.requests FOR EACH ROW
  WHEN (NEW.owner IS NOT NULL AND (NEW.owner IS DISTINCT FROM OLD.owner
    OR (NEW.finished_at IS NULL) <> (OLD.finished_at IS NULL)))
  EXECUTE FUNCTION audit.note_held();

CREATE FUNCTION audit.note_over() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO audit.over VALUES (OLD.number, truss_async.now_micros(), OLD.lease_ends_at, session_user);
  RETURN NULL;
END $$;
CREATE TRIGGER ended AFTER DELETE ON truss_async.owners FOR EACH ROW EXECUTE FUNCTION audit.note_over();
"""
_REQUESTS = "SELECT request_id, status, webhook_status, interruptions FROM truss_async.requests"
_HELD = "SELECT request_id, owner, node, delivers, at FROM audit.held ORDER BY at"
_SENT = """
SELECT request_id, attempt, round(latency_ms), coalesce(error, status_code::text)
FROM truss_async.deliveries JOIN truss_async.requests USING (seq) ORDER BY attempt
"""
_OVER = "SELECT owner, at, lease_ends_at, ended_by FROM audit.over"


@dataclass(frozen=True)
class Inferred:
    """An inference that a model began, in seconds since 1970."""

    number: int
    node: str
    began: float


@dataclass(frozen=True)
class Held:
    """A node had a request, to infer it or to deliver its result."""

    owner: int
    node: str
    delivers: bool
    at: float


@dataclass(frozen=True)
class Over:
    """The lease of an owner came to its end."""

    at: float
    lease_ends_at: float
    ended_by: str


@dataclass(kw_only=True)
class Outcome:
    """What a trial came to. Of ``again`` each was allowed, unless ``faults`` say otherwise."""

    seed: int
    requests: int
    seconds: float
    accepted: int = 0
    refused: int = 0
    unanswered: int = 0
    troubles: dict[str, int] = field(default_factory=dict)
    leases_lost: int = 0
    inferred_again: int = 0
    delivered_again: int = 0
    given_up: int = 0
    """Requests that were interrupted so often that they ended as FAILED, as is promised."""
    first_webhook_seconds: float | None = None
    settled_seconds: float = 0.0
    """From the end of the trouble until nothing was open any more."""
    faults: list[str] = field(default_factory=list)

    def verdict(self) -> str:
        """In one paragraph."""
        told = "; ".join([*self.faults[:_SHOWN], *(["…"] if len(self.faults) > _SHOWN else [])])
        first = "none" if self.first_webhook_seconds is None else f"{self.first_webhook_seconds:.2f} s"
        happened = ", ".join(f"{count} × {kind}" for kind, count in sorted(self.troubles.items()))
        return (
            f"{f'FAILED ({len(self.faults):,}): {told}' if told else 'PASSED: nothing is lost, and nothing is done twice within a lease'}.\n"
            f"{self.accepted:,} requests accepted, {self.refused:,} refused with 503, {self.unanswered:,} unanswered; "
            f"{self.seconds:.0f} s of trouble, seed {self.seed}: {happened}; {self.leases_lost:,} leases lost; "
            f"{self.inferred_again:,} inferred again, {self.delivered_again:,} delivered again, {self.given_up:,} given up after "
            f"{MAX_INTERRUPTIONS} interruptions; after the trouble first webhook within {first}, all settled within {self.settled_seconds:.1f} s"
        )


class Judge:
    """Reads what was noted, and adds to an outcome what it finds."""

    def __init__(self, outcome: Outcome, database: PostgresServer) -> None:
        self._outcome = outcome
        self._states = {row[0]: row[1:] for row in database.ask(_REQUESTS)}
        self._held: dict[str, list[Held]] = defaultdict(list)
        for request_id, owner, node, delivers, at in database.ask(_HELD):
            self._held[request_id].append(Held(owner, node, delivers, at / 1e6))
        self._sent: dict[str, list[str]] = defaultdict(list)
        for request_id, attempt, took_ms, said in database.ask(_SENT):
            self._sent[request_id].append(f"attempt {attempt}: {said} in {took_ms} ms")
        self._over = {row[0]: Over(row[1] / 1e6, row[2] / 1e6, row[3]) for row in database.ask(_OVER)}

    def judge(
        self, accepted: Mapping[str, int], inferred: Iterable[Inferred], deliveries: Iterable[Delivery]
    ) -> None:
        """``accepted`` has the number that each request's input held. Requests whose acceptance was not answered count, too."""
        by_request: dict[str, list[Delivery]] = defaultdict(list)
        for each in deliveries:
            by_request[each.request_id or "nobody's"].append(each)
        numbers = {**self._numbers_told(by_request), **accepted}
        by_number: dict[int, list[Inferred]] = defaultdict(list)
        for inference in inferred:
            by_number[inference.number].append(inference)
        for request_id in sorted({*accepted, *self._states, *by_request}):
            self._judge_end(request_id, by_request[request_id], numbers.get(request_id))
            self._judge_inferences(request_id, by_number[numbers.get(request_id, -1)])
            self._judge_changes(request_id)
        self._outcome.leases_lost = sum(each.lease_ends_at <= each.at for each in self._over.values())

    @staticmethod
    def _numbers_told(by_request: Mapping[str, list[Delivery]]) -> dict[str, int]:
        told: dict[str, int] = {}
        for request_id, found in by_request.items():
            for each in found:
                if each.result is not None and isinstance(each.result.data, dict):
                    told[request_id] = each.result.data["echo"]
        return told

    def _fault(self, request_id: str, text: str) -> None:
        self._outcome.faults.append(f"{request_id}: {text}")

    def _judge_end(self, request_id: str, sent: list[Delivery], number: int | None) -> None:
        status, webhook_status, interruptions = self._states.get(request_id, ("gone", "gone", 0))
        is_given_up = status == "FAILED" and interruptions >= MAX_INTERRUPTIONS
        if webhook_status != "SUCCEEDED" or not (status == "SUCCEEDED" or is_given_up):
            self._fault(
                request_id, f"it is {status}, webhook {webhook_status}, interrupted {interruptions} times"
            )
        self._outcome.given_up += is_given_up
        if not sent:
            self._fault(request_id, "its webhook never came")
        expected: Any = None if is_given_up else {"echo": number}
        if any(not each.accepted or each.result is None or each.result.data != expected for each in sent):
            self._fault(request_id, "a webhook of it is refused, or holds another output")
        deliverers = {each.owner for each in self._held[request_id] if each.delivers}
        self._outcome.delivered_again += max(0, len(sent) - 1)
        if len(sent) > len(deliverers):
            arrived = ", ".join(f"{each.received_at:%H:%M:%S.%f}" for each in sent)
            recorded = ", ".join(self._sent[request_id])
            self._fault(
                request_id,
                f"delivered at {arrived} by {len(deliverers)} owners ({recorded}); {self._held[request_id]}",
            )

    def _judge_inferences(self, request_id: str, inferred: list[Inferred]) -> None:
        owners = {each.owner for each in self._held[request_id] if not each.delivers}
        self._outcome.inferred_again += max(0, len(inferred) - 1)
        if len(inferred) > len(owners):
            self._fault(request_id, f"inferred {len(inferred)} times by {len(owners)} owners")
        held = [(each, self._held_for(request_id, each)) for each in inferred]
        if any(each is None for _, each in held):
            self._fault(request_id, "inferred by a node that does not have it")
        for (_, one), (later, other) in combinations(sorted(held, key=lambda each: each[0].began), 2):
            # What a node sent before it lost its lease, and got again, may arrive afterwards: that is held against its owners.
            if one is None or other is None or one.node == other.node:
                continue
            if self._has(one, later.began) and self._has(other, later.began):
                self._fault(request_id, f"inferred by {one.node} and {other.node} within their leases")

    def _held_for(self, request_id: str, inference: Inferred) -> Held | None:
        """What gave a node the right to begin it."""
        found = [
            each
            for each in self._held[request_id]
            if each.node == inference.node and not each.delivers and each.at <= inference.began
        ]
        return found[-1] if found else None

    def _has(self, held: Held, moment: float) -> bool:
        return held.owner not in self._over or self._over[held.owner].at > moment

    def _judge_changes(self, request_id: str) -> None:
        """While a request is inferred, it goes from one owner to the next only after the lease of the first."""
        held = [each for each in self._held[request_id] if not each.delivers]
        for one, other in pairwise(held):
            over = self._over.get(one.owner)
            if over is None or over.at > other.at:
                self._fault(request_id, f"{other.node} took it from {one.node}, who had it still")
            elif over.lease_ends_at > over.at and over.ended_by != one.node:
                self._fault(request_id, f"{over.ended_by} ended the lease of {one.node} too early")


def counted(kinds: Iterable[str]) -> dict[str, int]:
    """How often each happened."""
    return dict(Counter(kinds))
