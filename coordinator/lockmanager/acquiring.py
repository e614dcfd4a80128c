"""The two ways to a lock: a majority of its nodes, or the first host of its preference list that works.

This is the one place where a failed acquisition becomes an error.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from .actions import Failed, Failure, Request
from .ballot import Link, Said
from .durations import MICROSECONDS, seconds
from .engine import Engine
from .errors import AcquireTimeout, LockManagerError, NotAcquired, QuorumUnavailable, RequestRejected
from .failover import Breakers
from .run import Run
from .wire import Mode, Space

_ROUND_PAUSE: Final = 0.1
"""Seconds between two walks over a preference list of which no host works."""


class Wish(msgspec.Struct, frozen=True):
    """What a caller asked for, checked; durations in microseconds, `wait=None` for ever."""

    name: str
    ttl: int
    wait: int | None
    mode: Mode
    label: str


async def acquire_quorum(engine: Engine, wish: Wish) -> Run:
    """Acquire from a majority of the lock's nodes; raises what `Coordinator.lock` documents."""
    nodes = engine.nodes_of(wish.name)
    deadline, ticket = _deadline(engine, wish), engine.next_ticket()
    run = Run(engine, _request(wish, Space.QUORUM, nodes, ticket, deadline, patient=wish.wait != 0))
    failed = await _outcome(run)
    if failed is None:
        return run
    raise _error(run, failed, wish)


async def acquire_efficiency(engine: Engine, breakers: Breakers, wish: Wish) -> Run:
    """Acquire from the first host of the lock's preference list that works, within the wait."""
    preference = engine.cluster.preference(wish.name)
    deadline, ticket = _deadline(engine, wish), engine.next_ticket()
    causes: dict[str, str] = {}
    while True:
        engine.check_usable()
        for host in breakers.order(preference, engine.clock.now()):
            run = Run(engine, _request(wish, Space.EFFICIENCY, (host,), ticket, deadline, patient=False))
            failed = await _outcome(run)
            if failed is None:
                breakers.works(host)
                return run
            causes.update(run.acquisition.ballot.describe())
            if failed.failure not in (Failure.UNREACHABLE, Failure.REFUSED_LINK):
                raise _error(run, failed, wish)
            breakers.failed(host, engine.clock.now())
            if wish.wait and _is_over(engine, deadline):
                break  # hosts that were not asked have not failed
        _raise_if_refused_by_all(engine, preference)
        if _is_over(engine, deadline):
            raise QuorumUnavailable(wish.name, needed=1, reachable=0, causes=causes)
        await asyncio.sleep(_pause(engine, deadline))


def _deadline(engine: Engine, wish: Wish) -> int | None:
    return None if wish.wait is None else engine.clock.now() + wish.wait


def _is_over(engine: Engine, deadline: int | None) -> bool:
    return deadline is not None and engine.clock.now() >= deadline


def _pause(engine: Engine, deadline: int | None) -> float:
    if deadline is None:
        return _ROUND_PAUSE
    return min(_ROUND_PAUSE, max(0, deadline - engine.clock.now()) / MICROSECONDS)


def _request(
    wish: Wish, space: Space, nodes: tuple[str, ...], ticket: int, deadline: int | None, *, patient: bool
) -> Request:
    wait = wish.wait != 0
    ends = deadline if wish.wait else None
    return Request(space, wish.name, wish.mode, wish.ttl, ticket, wish.label, nodes, wait, ends, patient)


async def _outcome(run: Run) -> Failed | None:
    """Wait until the lock is held or failed; the acquisition keeps its own deadline. Cancelled, it leaves nothing."""
    try:
        run.begin()
        outcome = await run.outcome
    except BaseException:  # a cancellation above all: it goes on, and nothing is left on any node
        run.release("the acquisition was cancelled")
        raise
    return outcome if isinstance(outcome, Failed) else None


def _error(run: Run, failed: Failed, wish: Wish) -> LockManagerError:
    ballot = run.acquisition.ballot
    answers = ballot.describe()
    held_by = tuple(holder.label for holder in ballot.holders())
    match failed.failure:
        case Failure.HELD:
            return NotAcquired(wish.name, held_by=held_by, answers=answers)
        case Failure.TIMEOUT:
            return AcquireTimeout(wish.name, wait=seconds(wish.wait or 0), held_by=held_by, answers=answers)
        case Failure.REJECTED:
            vote = next(vote for vote in ballot if vote.said is Said.REJECTED)
            return RequestRejected(vote.code, f"{vote.node}: {vote.detail}")
        case Failure.REFUSED_LINK if refusals := run.engine.refusals(answers):
            return refusals[0]
        case _:
            return _unavailable(run, wish)


def _unavailable(run: Run, wish: Wish) -> QuorumUnavailable:
    """Tell nodes that do not answer from those in reach which were never asked, because too few were in reach."""
    ballot, causes = run.acquisition.ballot, run.acquisition.ballot.describe()
    reachable = ballot.answered()
    if not run.acquisition.token:
        causes |= {vote.node: "in reach" for vote in ballot if vote.link is Link.LIVE}
        reachable = ballot.live()
    return QuorumUnavailable(wish.name, needed=ballot.majority, reachable=reachable, causes=causes)


def _raise_if_refused_by_all(engine: Engine, hosts: tuple[str, ...]) -> None:
    refusals = engine.refusals(hosts)
    if len(refusals) == len(hosts):
        raise refusals[0]
