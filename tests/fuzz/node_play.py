"""A node's service, without a network, that goes through a list of steps; its promises are checked after each one."""

from __future__ import annotations

from dataclasses import dataclass, field

from lockmanager.durations import MICROSECONDS
from lockmanager.wire import Acquire, Granted, Mode, Release, Space, Token
from lockmanager_node import calls
from lockmanager_node.recovery import SERVING
from lockmanager_node.service import Service
from lockmanager_node.sessions import SessionTaken
from lockmanager_node.table import Table
from tests.support.service_cases import Far, StillClock, tick
from tests.support.table_cases import INCARNATION, token_of

from .node_steps import LIMITS, Call, Connect, Leave, Pass, Revoke, Say, Serve, Step
from .promises import Account, check_nothing_is_left


@dataclass
class Play:
    """One node from its start to its end."""

    silent: bool
    account: Account = field(default_factory=Account)
    clock: StillClock = field(default_factory=StillClock)
    present: dict[str, Far] = field(default_factory=dict)
    said: dict[str, set[Token]] = field(default_factory=dict)
    echoes: dict[str, set[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.table = Table(INCARNATION, LIMITS, tell=self.account.note)
        self.service = Service(self.table, self.clock)
        self.table.silent = self.silent

    async def go_through(self, steps: list[Step]) -> None:
        for step in steps:
            self.do(step)
            self.account.check(self.table, self.clock.at)
            await tick()
            self.check_what_was_told()
        await self.end()

    def do(self, step: Step) -> None:
        match step:
            case Say():
                self.say(step)
            case Connect():
                self.connect(step.who, step.key)
            case Leave() if step.who in self.present:
                self.service.disconnect(self.present.pop(step.who).session)
            case Pass():
                self.clock.at += step.time
                self.service.expire()
            case Revoke():
                self.service.revoke(step.key, force=step.force)
            case Call():
                calls.tell(self.service, step.request)
            case Serve() if self.table.silent:
                self.service.serve(step.adoptions, step.fence_floor)
                self.service.readiness = SERVING

    def connect(self, who: str, key: str | None) -> None:
        before = self.present.get(who)
        try:
            self.present[who] = Far(self.service, who, key_id=key)
        except SessionTaken:
            assert before is not None
            assert before.session.peer.key_id != key
            return
        assert before is None or (before.closed and before.session.peer.key_id == key)
        self.echoes[who] = {0}

    def say(self, step: Say) -> None:
        if step.who not in self.present:
            self.connect(step.who, step.key)
        far = self.present[step.who]
        self.said.setdefault(step.who, set()).update(one.token for one in step.messages if hasattr(one, "token"))
        self.echoes[step.who].add(step.sent)
        far.send(*step.messages, sent=step.sent)
        self.forget_the_closed()

    def forget_the_closed(self) -> None:
        """Do what a connection does that was told to close."""
        for who, far in list(self.present.items()):
            if far.closed:
                self.service.disconnect(far.session)
                del self.present[who]

    def check_what_was_told(self) -> None:
        """Nobody is told a token it did not name, nor an echo it did not send, and no frame says less than the last."""
        for who, far in self.present.items():
            told = {message.token for frame in far.frames for message in frame.messages if hasattr(message, "token")}
            assert told <= self.said.get(who, set())
            assert {frame.echo for frame in far.frames} <= self.echoes[who]
            tickets = [frame.largest_ticket for frame in far.frames]
            assert tickets == sorted(tickets)
        self.forget_the_closed()

    async def end(self) -> None:
        """Somebody else is served as ever; and when all have gone and time has passed, nothing is left."""
        self.clock.at += MICROSECONDS
        self.service.expire()
        await self.be_served()
        for far in self.present.values():
            self.service.disconnect(far.session)
        for time in (LIMITS.max_ttl, 61 * MICROSECONDS):
            self.clock.at += time
            self.service.expire()
        self.service.stop()
        await tick()
        check_nothing_is_left(self.table)

    async def be_served(self) -> None:
        """Let an HTTP client acquire and release a lock nobody else uses."""
        if self.table.silent or self.table.lease_count + self.table.waiter_count >= LIMITS.leases:
            return
        token, ticket = token_of("newcomer"), self.service.next_ticket()
        wanted = Acquire(token, Space.NODE, "its own", ticket, MICROSECONDS, Mode.EXCLUSIVE, wait=False, label="")
        answer = await calls.acquire(self.service, wanted, 0, gone=lambda: False)
        assert isinstance(answer, Granted), answer
        calls.tell(self.service, Release(token))
