"""Bugs to plant, each with the property that must find it: fuzzing that cannot fail shows nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
import pytest
import yaml
from hypothesis.errors import Flaky, HypothesisException

from lockmanager import engine, strict, wire
from lockmanager.ballot import Ballot
from lockmanager.durations import microseconds
from lockmanager.wire import Token, UpFrame
from lockmanager_node import lock, rejoining, service, sessions, store, table
from lockmanager_node.limits import Excess, check_acquire
from lockmanager_node.line import Owner, Waiter
from lockmanager_node.records import Kept
from lockmanager_node.recovery import Report
from lockmanager_node.table import Outbox
from lockmanager_node.web import checks, session, targets

from . import test_frames
from .properties import PROPERTIES, told

_SHOWN: Final = 300

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


@dataclass(frozen=True)
class Bug:
    """A bug and the property that finds it within so many examples."""

    name: str
    plant: Plant
    found_by: str
    examples: int = 300

    def hunt(self, seed: int) -> str | None:
        """Plant it, and return what the property says of it; None when it says nothing."""
        with pytest.MonkeyPatch.context() as patch:
            self.plant(patch)
            try:
                PROPERTIES[self.found_by].run(self.examples, seed, shrink=False)
            except Flaky as error:
                return f"once: {error}".partition("\n")[0][:_SHOWN]
            except HypothesisException:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a planted bug brings about has found it
                return told(error).replace("\n", " ")[:_SHOWN]
        return None


def _patched(where: object, name: str, value: object) -> Plant:
    return lambda patch: patch.setattr(where, name, value)


# What is planted


def _decodes_leniently(patch: Patch) -> None:
    patch.setattr(wire, "_up_decoder", msgspec.msgpack.Decoder(UpFrame, strict=False))


def _decodes_text_unguarded(data: bytes) -> UpFrame:
    try:
        return wire._up_decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise wire.MalformedFrame(f"not a frame of protocol 1: {error}") from None


def _any_ttl(request: Any, limits: Any, wall: int) -> Excess | None:
    excess = check_acquire(request, limits, wall)
    return None if excess is not None and excess.code == "ttl" else excess


def _known_only(self: table.Table, owner: Owner, token: Token, outbox: Outbox) -> None:
    outbox.append((owner, wire.Lost(self._waiters[token].token)))


def _tells_everybody(self: service.Service, outbox: Outbox) -> None:
    for _, answer in outbox:
        for recipient in list(self._recipients.values()):
            recipient.deliver(answer)


def _stays_in_line(_self: table.Table, _owner: Owner, _now: int) -> Outbox:
    return []


def _newest_echo(self: sessions.Session) -> None:
    if self._echo is None:
        self._echo = self._sent + 1
        self._service.wants_flush(self)


def _fence_of_ticket(_self: lock.Lock, waiter: Waiter) -> int:
    return waiter.ticket


def _half_is_enough(patch: Patch) -> None:
    whole = Ballot.__init__

    def init(self: Ballot, nodes: Iterable[str], *rest: Any) -> None:
        whole(self, nodes, *rest)
        self.majority = max(1, len(self) // 2)

    patch.setattr(Ballot, "__init__", init)


def _knows_every_token(patch: Patch) -> None:
    whole = engine.Engine.on_answers

    def on_answers(self: engine.Engine, node: str, echo: int, largest_ticket: int, answers: list[Any]) -> None:
        for answer in answers:
            self._runs[answer.token]
        whole(self, node, echo, largest_ticket, answers)

    patch.setattr(engine.Engine, "on_answers", on_answers)


def _decodes_as_it_comes(raw: str, _field: str) -> str:
    return unquote_to_bytes(raw).decode()


def _stays_registered(_self: service.Service, _owner: Owner) -> None:
    return


class _Agreeable(int):
    """A checksum that fits everything."""

    def __ne__(self, other: object) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


def _checksums_ignored(patch: Patch) -> None:
    whole, reading = store._checksum, store.Store._read_records

    def read(self: store.Store) -> Any:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(store, "_checksum", lambda number, body: _Agreeable(whole(number, body)))
            return reading(self)

    patch.setattr(store.Store, "_read_records", read)


def _damaged_rows_skipped(patch: Patch) -> None:
    def read(self: store.Store) -> Kept:
        records, fence_floor = [], 0
        for number, body, checksum in self._db.execute("SELECT number, body, checksum FROM record"):
            if checksum == store._checksum(number, body):
                if number == 0:
                    fence_floor = int(body)
                else:
                    records.append((number, store._decoder.decode(body)))
        return Kept(records, fence_floor)

    patch.setattr(store.Store, "_read_records", read)


class _InTwoSteps:
    """Reads reports, but as anything first."""

    def decode(self, body: bytes) -> Report:
        return msgspec.convert(msgspec.json.decode(body), Report)


def _reads_yaml_plainly(text: str) -> object:
    return yaml.safe_load(text)


def _unguarded(value: float, _field: str) -> int:
    return microseconds(value)


SESSIONS: Final = "test_no_frames_break_the_promises_of_a_node"
COORDINATOR: Final = "test_no_answers_of_one_node_mislead_a_coordinator"
BODIES: Final = "test_no_body_is_answered_with_a_failure"
TARGETS: Final = "test_no_target_is_answered_with_a_failure"
WEBSOCKETS: Final = "test_nothing_a_connection_says_brings_a_node_down"
DATABASE: Final = "test_a_damaged_database_says_everything_or_is_refused"

BUGS: Final = (
    Bug(
        "numbers in text are taken for numbers",
        _decodes_leniently,
        "test_what_a_coordinator_may_send_is_read_or_malformed",
    ),
    Bug(
        "text that is not UTF-8 is no malformed frame",
        _patched(test_frames, "decode_up", _decodes_text_unguarded),
        "test_what_a_coordinator_may_send_is_read_or_malformed",
        2_000,
    ),
    Bug("a negative ttl is let through", _patched(table, "check_acquire", _any_ttl), SESSIONS),
    Bug("an unknown token raises KeyError", _patched(table.Table, "_lost_unless_known", _known_only), SESSIONS),
    Bug("leases exclude nobody", _patched(lock.Lock, "_admits", lambda _self, _waiter: True), SESSIONS),
    Bug(
        "a fence is the ticket, whatever was given before", _patched(lock.Lock, "fence_for", _fence_of_ticket), SESSIONS
    ),
    Bug("a session that ended stays in line", _patched(table.Table, "end_session", _stays_in_line), SESSIONS),
    Bug("answers are told to everybody", _patched(service.Service, "_deliver", _tells_everybody), SESSIONS),
    Bug("an echo is newer than what was sent", _patched(sessions.Session, "_anchor", _newest_echo), SESSIONS),
    Bug("half of the nodes are a majority", _half_is_enough, COORDINATOR),
    Bug("an answer about a token nobody knows raises KeyError", _knows_every_token, COORDINATOR),
    Bug("a ttl beyond all numbers is a failure of the node", _patched(checks, "_microseconds", _unguarded), BODIES),
    Bug("a request that is over stays registered", _patched(service.Service, "unregister", _stays_registered), BODIES),
    Bug(
        "a target that is not UTF-8 is a failure of the node",
        _patched(targets, "decode", _decodes_as_it_comes),
        TARGETS,
    ),
    Bug(
        "a malformed frame is a failure of the node",
        _patched(session, "decode_up", wire._up_decoder.decode),
        WEBSOCKETS,
    ),
    Bug("checksums are not looked at", _checksums_ignored, "test_a_row_that_was_changed_is_refused"),
    Bug("damaged rows are left out", _damaged_rows_skipped, DATABASE, 2_000),
    Bug(
        "a report is read as anything first",
        _patched(rejoining, "_report", _InTwoSteps()),
        "test_no_report_keeps_a_node_from_serving",
    ),
    Bug(
        "YAML is read without a guard",
        _patched(strict, "load_yaml", _reads_yaml_plainly),
        "test_a_cluster_file_is_read_or_refused",
    ),
)
