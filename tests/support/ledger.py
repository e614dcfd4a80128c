"""What one client was told by a node that is killed again and again, and what it asks next. Chance is an argument.

A claim is one acquisition. While it is HELD the node has called it granted and was asked nothing since that could end
it: whatever happens to the process, it must stand, at least until the deadline and with at least the fence that were
acknowledged. All others may stand or not after a kill, until the node has acknowledged something decided later.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random
from typing import Any, Final

from lockmanager.durations import MICROSECONDS
from lockmanager.wire import (
    TOKEN_LENGTH,
    Acquire,
    DownFrame,
    DownMessage,
    Granted,
    GrantId,
    Inquire,
    Mode,
    Queued,
    Raise,
    Raised,
    Refused,
    Release,
    Released,
    Renew,
    Renewed,
    Space,
    Token,
    UpMessage,
    Yield,
    token_hash,
)

NAMES: Final = tuple(f"orders/{number}" for number in range(6))
MOST_CLAIMS: Final = 24
_HOUR: Final = 3_600 * MICROSECONDS
_TTLS: Final = (1, 24 * 10)
"""Hours: so long that nothing expires, and so different that a forgotten renewal shows."""


class Broken(AssertionError):
    """The node did not keep what it had said."""


class State(Enum):
    """What became of a claim, as far as the client knows."""

    ASKED = auto()
    HELD = auto()
    YIELDED = auto()
    ENDING = auto()
    ENDED = auto()


@dataclass(slots=True)
class Claim:
    """One acquisition; `until` is an instant of the clock that node and client share."""

    token: Token
    name: str
    mode: Mode
    ticket: int
    ttl: int
    state: State = State.ASKED
    grant_id: GrantId = (0, 0)
    fence: int = 0
    until: int = 0

    def acquire(self, *, wait: bool) -> Acquire:
        return Acquire(self.token, Space.QUORUM, self.name, self.ticket, self.ttl, self.mode, wait, "a test")


@dataclass(slots=True)
class Marks:
    """The largest fences a name was acknowledged with: exclusive ones, any, and any before the node's last start."""

    exclusive: int = 0
    any: int = 0
    before: int = 0

    def floor(self, mode: Mode) -> int:
        return self.any if mode is Mode.EXCLUSIVE else max(self.exclusive, self.before)

    def note(self, mode: Mode, fence: int) -> None:
        self.any = max(self.any, fence)
        if mode is Mode.EXCLUSIVE:
            self.exclusive = max(self.exclusive, fence)


@dataclass(slots=True)
class Ledger:
    """Everything the client knows."""

    chance: Random
    claims: dict[Token, Claim] = field(default_factory=dict)
    marks: dict[str, Marks] = field(default_factory=lambda: {name: Marks() for name in NAMES})
    seen: Counter[str] = field(default_factory=Counter)
    _confirmed: set[Token] = field(default_factory=set)

    def held(self) -> list[Claim]:
        return self._in(State.HELD)

    def _in(self, *states: State) -> list[Claim]:
        return [claim for claim in self.claims.values() if claim.state in states]

    # A new life of the node

    def check_listed(self, locks: list[dict[str, Any]], answered: int) -> None:
        """Compare with what a node lists that has just started; `answered` is when its answer was read."""
        listed = {holder["token_hash"]: (lock, holder) for lock in locks for holder in lock["holders"]}
        known = {token_hash(token): claim for token, claim in self.claims.items()}
        strangers = listed.keys() - known.keys()
        if strangers:
            raise Broken(f"{len(strangers)} leases stand that had ended for good")
        for claim in self.held():
            if token_hash(claim.token) not in listed:
                raise Broken(f"an acknowledged lease of {claim.name} is missing")
            lock, holder = listed[token_hash(claim.token)]
            if (lock["name"], holder["mode"]) != (claim.name, claim.mode.name.lower()):
                raise Broken(f"a lease of {claim.name} has become one of {lock['name']}, {holder['mode']}")
            if holder["fence"] < claim.fence:
                raise Broken(f"the fence of {claim.name} went back from {claim.fence} to {holder['fence']}")
            if holder["remaining"] * MICROSECONDS + answered < claim.until:
                raise Broken(f"an acknowledged renewal of {claim.name} is forgotten")

    def begin_life(self) -> list[UpMessage]:
        """Ask again for every lease that must stand, and end everything that may."""
        self._confirmed = {claim.token for claim in self.held()}
        for marks in self.marks.values():
            marks.before = marks.any
        messages: list[UpMessage] = [claim.acquire(wait=False) for claim in self.held()]
        for claim in self._in(State.ASKED, State.YIELDED, State.ENDING, State.ENDED):
            claim.state = State.ENDING
            messages.append(Release(claim.token))
        return messages

    @property
    def unconfirmed(self) -> int:
        """How many leases this life of the node was not heard of yet."""
        return len(self._confirmed)

    # What is asked

    def next_messages(self) -> list[UpMessage]:
        """Choose what to ask in the next frame."""
        wanted = [self._next() for _ in range(self.chance.choice([1, 1, 2, 6]))]
        return [message for message in wanted if message is not None]

    def _next(self) -> UpMessage | None:
        held = self.held()
        kinds = ["renew", "renew", "renew", "raise", "raise"] if held else []
        kinds += ["release", "release", "yield"] if len(held) > 1 else []
        kinds += ["acquire"] * 4 if len(self.claims) < MOST_CLAIMS else []
        kinds += ["give up"] if self._in(State.ASKED) else []
        match self.chance.choice(kinds or ["nothing"]):
            case "acquire":
                return self._acquire()
            case "renew":
                return Renew(self.chance.choice(held).token, self._ttl())
            case "raise":
                claim = self.chance.choice(held)
                return Raise(claim.token, claim.fence + self.chance.randint(1, 5))
            case "release":
                return self._end(self.chance.choice(held))
            case "give up":
                return self._end(self.chance.choice(self._in(State.ASKED)))
            case "yield":
                claim = self.chance.choice(held)
                claim.state = State.YIELDED
                return Yield(claim.token, claim.grant_id)
        return None

    def _acquire(self) -> Acquire:
        token = Token("".join(self.chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=TOKEN_LENGTH)))
        mode = self.chance.choice(list(Mode))
        # Small tickets: the fences that nodes give then rest on their marks alone.
        claim = Claim(token, self.chance.choice(NAMES), mode, self.chance.randint(1, 1_000), self._ttl())
        self.claims[token] = claim
        return claim.acquire(wait=self.chance.random() < 0.7)

    def _ttl(self) -> int:
        return self.chance.randint(*_TTLS) * _HOUR

    def _end(self, claim: Claim) -> Release:
        claim.state = State.ENDING
        return Release(claim.token)

    # What is told

    def hear(self, frame: DownFrame) -> None:
        """Take what the node said; raises Broken when it must not say so."""
        for message in frame.messages:
            self.seen[type(message).__name__] += 1
            self._hear(message, frame.echo)

    def _hear(self, message: DownMessage, echo: int) -> None:
        match message:
            case Granted(token=token) | Renewed(token=token) | Raised(token=token):
                self._hear_yes(self.claims[token], message, echo)
                for claim in self._in(State.ENDED):
                    del self.claims[claim.token]  # its end was decided earlier, and so it is as durable as this
            case Released(token=token):
                if token in self.claims:
                    self.claims[token].state = State.ENDED
            case Refused(token=token) | Queued(token=token) if token not in self._confirmed:
                if isinstance(message, Refused):
                    self.claims.pop(token, None)
            case Inquire(token=token):
                self.seen["inquired while held"] += self.claims[token].state is State.HELD
            case _:
                raise Broken(f"the node says {message}")

    def _hear_yes(self, claim: Claim, message: Granted | Renewed | Raised, echo: int) -> None:
        match message:
            case Granted():
                self._hear_granted(claim, message, echo)
            case Renewed():
                claim.until = max(claim.until, echo + message.ttl)
            case Raised():
                claim.fence = message.fence
                self.marks[claim.name].note(claim.mode, message.fence)

    def _hear_granted(self, claim: Claim, granted: Granted, echo: int) -> None:
        marks = self.marks[claim.name]
        if granted.resent:
            self._confirmed.discard(claim.token)
            if granted.grant_id != claim.grant_id or granted.fence < claim.fence:
                told = f"grant {claim.grant_id} with fence {claim.fence}"
                raise Broken(f"{told} of {claim.name} has become {granted.grant_id} with {granted.fence}")
            claim.fence = granted.fence
        elif claim.token in self._confirmed:
            raise Broken(f"an acknowledged lease of {claim.name} was granted anew")
        elif granted.fence <= marks.floor(claim.mode):
            raise Broken(f"{claim.name} got fence {granted.fence}, after {marks.floor(claim.mode)}")
        else:
            claim.grant_id, claim.fence, claim.until = granted.grant_id, granted.fence, echo + granted.ttl
            if claim.state in (State.ASKED, State.YIELDED):
                claim.state = State.HELD
        marks.note(claim.mode, granted.fence)
