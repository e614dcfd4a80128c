"""The clients and connections of a model run: real acquisitions, and queues in place of sockets.

Nothing here chooses what happens next: that is the scheduler's, in `model_run`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from lockmanager.acquisition import Acquisition
from lockmanager.actions import Action, Apart, Failed, Held, Lost, Phase, Request, Send
from lockmanager.ballot import Link
from lockmanager.renewals import period
from lockmanager.wire import TOKEN_LENGTH, Acquire, Answer, Mode, Release, Released, Space, Token, UpMessage

if TYPE_CHECKING:
    from tests.support.model_nodes import Decided, Node, Timepiece
    from tests.support.model_run import World

TTL = 1_000_000
"""The longest ttl asked for at first, and that of most acquisitions."""
WALL = 1_700_000_000_000_000
_tokens = count(1)


@dataclass(slots=True)
class Wire:
    """The connection of one client and one node: three queues that keep their order."""

    client: Client
    node: Node
    up: deque[tuple[int, list[UpMessage]]] = field(default_factory=deque)
    decided: deque[Decided] = field(default_factory=deque)
    down: deque[tuple[int, int, Answer | None]] = field(default_factory=deque)
    newest_sent: int = 0
    open: bool = False
    known_to_node: bool = False
    stalled_until: int = 0
    back_at: int = 0
    unconfirmed: dict[Token, int] = field(default_factory=dict)

    def clear(self) -> None:
        self.up.clear()
        self.decided.clear()
        self.down.clear()


@dataclass(slots=True)
class Plan:
    """What one acquisition is to be."""

    mode: Mode
    patient: bool
    ttl: int
    hold: int
    give_up_after: int | None

    @property
    def is_promised(self) -> bool:
        """Whether it must be held in the end: it waits, and nobody cancels it."""
        return self.patient and self.give_up_after is None


class Client:
    """A coordinator that makes one acquisition after the other, as `Run` and `Engine` would."""

    def __init__(self, name: str, clock: Timepiece, wall_skew: int, plans: list[Plan], world: World) -> None:
        self.name, self.clock, self.wall_skew, self.plans, self.world = name, clock, wall_skew, plans, world
        self.wires: dict[str, Wire] = {}
        self.acquisition: Acquisition | None = None
        self.plan = Plan(Mode.EXCLUSIVE, patient=True, ttl=TTL, hold=0, give_up_after=None)
        self.largest_ticket = 0
        self.stands_still_until = 0
        self.next_round_at = 0
        self.release_at: int | None = None
        self.retry_at: int | None = None
        self.renew_at: int | None = None
        self.beat_at = 0
        self.wakeup: int | None = None
        self._outbox: dict[str, list[UpMessage]] = {}

    @property
    def now(self) -> int:
        return self.clock.at(self.world.instant)

    @property
    def done(self) -> bool:
        return self.acquisition is None and not self.plans

    @property
    def holds(self) -> bool:
        """Whether this client relies on the lock right now."""
        acquisition = self.acquisition
        return acquisition is not None and acquisition.phase is Phase.HELD and self.now < acquisition.validity

    # Rounds

    def begin(self) -> None:
        self.plan = self.plans.pop()
        self.largest_ticket = max(WALL + self.wall_skew + self.world.instant, self.largest_ticket + 1)
        links = {name: (Link.LIVE if wire.open else Link.DOWN, "") for name, wire in self.wires.items()}
        patient = self.plan.patient
        request = Request(
            space=Space.QUORUM,
            name="orders/42",
            mode=self.plan.mode,
            ttl=self.plan.ttl,
            ticket=self.largest_ticket,
            label=self.name,
            nodes=tuple(self.wires),
            wait=patient,
            deadline=None,
            patient=patient,
        )
        self.acquisition = Acquisition(request, links, self.now)
        give_up = self.plan.give_up_after
        self.release_at = None if give_up is None else self.world.instant + give_up
        self.perform(self.acquisition, self.acquisition.tick(self.now))
        if not patient:
            self.start(self.acquisition)

    def start(self, acquisition: Acquisition) -> None:
        self.retry_at = None
        token = Token(f"{next(_tokens):0{TOKEN_LENGTH}d}")
        actions = acquisition.start(token, self.now)
        self.renew_at, self.beat_at = self.now + period(acquisition.ttl), self.now + TTL // 5
        self.perform(acquisition, actions)

    def release(self) -> None:
        assert self.acquisition is not None
        acquisition = self.acquisition
        self.world.seen["cancelled" if acquisition.phase is not Phase.HELD else "released"] += 1
        self.perform(acquisition, acquisition.release())

    def renew(self) -> None:
        assert self.acquisition is not None
        acquisition = self.acquisition
        self.renew_at = self.now + period(acquisition.ttl)
        self.perform(acquisition, acquisition.tick(self.now))
        if acquisition.phase in (Phase.WAITING, Phase.HELD):
            self.perform(acquisition, acquisition.renew())

    # Events

    def on_link(self, node: str, link: Link) -> None:
        if self.acquisition is not None:
            self.perform(self.acquisition, self.acquisition.on_link(node, link, "", self.now))

    def receive(self, wire: Wire) -> None:
        echo, largest, answer = wire.down.popleft()
        self.largest_ticket = max(self.largest_ticket, largest)
        if isinstance(answer, Released):
            wire.unconfirmed.pop(answer.token, None)
        elif answer is not None and (one := self.acquisition) is not None and answer.token == one.token:
            self.perform(one, one.on_answer(wire.node.name, echo, answer, self.now))

    def tick(self) -> None:
        assert self.acquisition is not None
        actions = self.acquisition.tick(self.now)
        self.perform(self.acquisition, actions)

    def beat(self) -> None:
        self.beat_at = self.now + TTL // 5
        for wire in self.wires.values():
            if wire.open:
                wire.up.append((self.now, []))

    # Carrying out

    def perform(self, acquisition: Acquisition, actions: list[Action]) -> None:
        for action in actions:
            self.carry_out(acquisition, action)
        self.flush()
        if acquisition.phase is Phase.OVER:
            self.end_round()
        elif acquisition.request.patient and acquisition.wants_start():
            self.start(acquisition)
        self.wakeup = None if self.acquisition is None else self.acquisition.next_wakeup(self.now)

    def carry_out(self, acquisition: Acquisition, action: Action) -> None:
        match action:
            case Send(node, message):
                self.send(self.wires[node], message)
            case Held(fence):
                self.renew_at = self.now + period(acquisition.ttl)
                self.release_at = self.world.instant + self.plan.hold
                self.world.note_held(acquisition.request.mode, fence)
                self.world.seen["promises kept"] += self.plan.is_promised
            case Apart(split):
                self.renew_at = None
                self.world.seen["split" if split else "apart"] += 1
                if split:
                    self.retry_at = self.world.instant + self.world.chance.randint(1_000, 10_000)
            case Lost() | Failed():
                self.world.seen[type(action).__name__.lower()] += 1

    def send(self, wire: Wire, message: UpMessage) -> None:
        if isinstance(message, Release):
            wire.unconfirmed[message.token] = self.world.instant + self.plan.ttl
        if isinstance(message, Acquire):
            self.world.seen["acquires"] += 1
        if wire.open:
            self._outbox.setdefault(wire.node.name, []).append(message)

    def flush(self) -> None:
        """Send what this event left as one frame per node."""
        outbox, self._outbox = self._outbox, {}
        for node, messages in outbox.items():
            self.wires[node].up.append((self.now, messages))

    def end_round(self) -> None:
        self.acquisition = self.release_at = self.retry_at = self.renew_at = None
        self.next_round_at = self.world.instant + self.world.chance.randrange(50_000)

    # What is due

    def due(self) -> Iterator[Callable[[], None]]:
        """Tell what this client's own timers may do now."""
        acquisition, instant = self.acquisition, self.world.instant
        if acquisition is None:
            if self.plans and instant >= self.next_round_at:
                yield self.begin
            return
        if self.wakeup is not None and self.now >= self.wakeup:
            yield self.tick
        if self.release_at is not None and instant >= self.release_at:
            yield self.release
        if self.retry_at is not None and instant >= self.retry_at:
            yield lambda: self.start(acquisition)
        if self.renew_at is not None and self.now >= self.renew_at:
            yield self.renew
        if self.now >= self.beat_at:
            yield self.beat

    def next_instants(self) -> Iterator[int]:
        instant, now = self.world.instant, self.now
        if self.acquisition is None:
            if self.plans:
                yield self.next_round_at
            return
        yield from (at for at in (self.release_at, self.retry_at) if at is not None)
        yield from (instant + (at - now) for at in (self.wakeup, self.renew_at, self.beat_at) if at is not None)
