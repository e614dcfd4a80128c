"""One acquisition from the first request to the end of its lease: a state machine without I/O. Pure.

    WAITING -> HELD -> OVER        the way of a lock
    WAITING -> APART -> WAITING    too few nodes in reach, or a split try: nothing is asked for until `start`
    HELD -> LOST -> OVER           told before validity ends; released when the holder lets go or validity has ended
    WAITING, APART -> OVER         failed, timed out, cancelled

Each event (an answer, a session that came or went, an instant) returns what to do: messages to send and, at most once
each, the news `Held`, `Failed`, `Lost` or `Apart`. `now` and bounds are microseconds of our own clock. It is looked at
before any answer is applied: a validity that has ended never revives. Tokens are given to `start`, nothing is drawn.

After the Redlock algorithm of the Redis documentation, with the line and the inquire / yield exchange of
Maekawa's quorum mutual exclusion (1985) in place of random retries.
"""

from __future__ import annotations

from typing import Final

from .actions import FIRST_TTL, REJECTED_PAUSE, Action, Apart, Failed, Failure, Held, Lost, Phase, Request, Send
from .ballot import Ballot, Grant, Link, Said, Vote
from .durations import drift, notice
from .patience import Patience
from .verdict import verdict_of_time, verdict_of_waiting
from .wire import (
    Acquire,
    Answer,
    Granted,
    Inquire,
    Queued,
    Raise,
    Raised,
    Recovering,
    Refused,
    Rejected,
    Release,
    Renew,
    Renewed,
    Revoked,
    Token,
    Yield,
)
from .wire import Lost as LostAnswer

_YES: Final = (Granted, Renewed)


class Acquisition:
    """The state of one acquisition over the nodes of its lock."""

    def __init__(self, request: Request, links: dict[str, tuple[Link, str]], now: int) -> None:
        self.request = request
        self.phase = Phase.APART
        self.token = Token("")
        self.fence = 0
        self.quiet = False  # whether the newest answer was only noted: nothing follows, no instant has come nearer
        self.ballot = Ballot(request.nodes, FIRST_TTL)
        self._ttl = self.longest_ttl = request.ttl
        self._patience = Patience(request, now)
        self._had_majority = self._was_rejected = self._ttl_changed = False
        self._validity: int | None = None
        self._loss_at = 0
        for vote in self.ballot.votes:
            vote.link, vote.cause = links[vote.node]

    # Questions

    @property
    def ttl(self) -> int:
        """The ttl renewals ask for, in microseconds."""
        return min(self._ttl, FIRST_TTL) if self.phase in (Phase.WAITING, Phase.APART) else self._ttl

    @property
    def validity(self) -> int:
        """Until when the lease may be relied on, in microseconds of the coordinator's clock."""
        return self._look_at_bounds() if self._validity is None else self._validity

    @property
    def loss_at(self) -> int:
        """When a holder is told that its lease is lost: early enough to stop before validity ends."""
        if self._validity is None:
            self._look_at_bounds()
        return self._loss_at

    def _look_at_bounds(self) -> int:
        self._validity = validity = self.ballot.validity()
        self._loss_at = self.ballot.loss_at(self._ttl) if self._ttl_changed else validity - notice(self._ttl)
        return validity

    def wants_start(self) -> bool:
        """Say whether a `start` with a new token makes sense now."""
        return self.phase is Phase.APART and (not self.request.patient or self.ballot.live() >= self.ballot.majority)

    def next_wakeup(self, now: int) -> int | None:
        """Return when `tick` has something to decide, or None while only answers can change anything."""
        phase = self.phase
        if phase is Phase.HELD:
            return min([self.loss_at, *self.ballot.ask_again_at()]) if self._was_rejected else self.loss_at
        if phase is Phase.LOST:
            return self.validity
        if phase is Phase.OVER:
            return None
        due = [] if self.request.deadline is None else [self.request.deadline]
        if phase is Phase.WAITING:
            due += self._patience.ends()
            if self.request.patient and self._was_rejected:
                due += self.ballot.ask_again_at()
            if self._had_majority:
                due.append(self.validity)
        return min([at for at in due if at > now], default=None) if due else None

    def has_due(self, now: int) -> bool:
        """Say whether `tick` may have something to decide now; a lease that is well has not."""
        well = self.phase is Phase.HELD and now < self.loss_at and not self._was_rejected
        return not (well and self.ballot.settled_at(self._ttl))

    # Events

    def start(self, token: Token, now: int) -> list[Action]:
        """Ask all nodes in reach, under a token that was never used before."""
        if self.token:
            self.ballot.forget_token()
        self.token, self.phase, self._validity = token, Phase.WAITING, None
        self._patience.start(now)
        self._had_majority = self._was_rejected = False
        acquire = self._acquire()
        actions: list[Action] = [Send(vote.node, acquire) for vote in self.ballot.votes if vote.link is Link.LIVE]
        self._watch_minority(now)
        return self._decide(now, actions)

    def on_link(self, node: str, link: Link, cause: str, now: int) -> list[Action]:
        """Take note that the session to a node came up or went down."""
        vote = self.ballot[node]
        vote.link, vote.cause = link, cause
        actions: list[Action] = []
        if self._ended(now, actions):
            return actions
        if link is Link.LIVE:
            actions += self._catch_up(vote)
        self._watch_minority(now)
        return self._decide(now, actions)

    def on_answer(self, node: str, echo: int, answer: Answer, now: int) -> list[Action]:
        """Apply what a node said about our token; answers about an earlier token are ignored."""
        actions: list[Action] = []
        phase, self.quiet = self.phase, False
        if (phase is not Phase.WAITING and phase is not Phase.HELD) or answer.token != self.token:
            return actions
        if self._ended(now, actions):
            return actions
        if not self._outlived(now):
            self._validity = None
            self._apply(self.ballot[node], echo, answer, now, actions)
        self.quiet = not actions and self._follows_nothing(answer, now)
        return actions if self.quiet else self._decide(now, actions)

    def _follows_nothing(self, answer: Answer, now: int) -> bool:
        """Say whether an answer, when all is well, leaves nothing to decide: the common ones, at little cost."""
        if self.phase is Phase.HELD:
            return isinstance(answer, _YES) and self.ballot.settled_at(self._ttl)
        if not self.request.patient or self._had_majority or self.request.is_over(now):
            return False
        if isinstance(answer, Queued):
            return True
        return isinstance(answer, Granted) and len(self.ballot.counted(now)) < self.ballot.majority

    def tick(self, now: int) -> list[Action]:
        """Decide what only time decides."""
        actions: list[Action] = []
        return actions if self._ended(now, actions) else self._decide(now, actions)

    def renew(self, ttl: int | None = None) -> list[Action]:
        """Ask every node with a recorded grant to extend it; `ttl` changes the lease's ttl from now on."""
        if ttl is not None:
            self._ttl, self._ttl_changed, self._validity = ttl, True, None
            self.longest_ttl = max(self.longest_ttl, ttl)
        ttl = self._carried(self.ttl)
        return [Send(node, Renew(self.token, ttl)) for node in self.ballot.to_renew(ttl)]

    def release(self) -> list[Action]:
        """End it: release on every node, also those that never answered. Idempotent."""
        if self.phase is Phase.OVER:
            return []
        actions = self._release_everywhere()
        self.phase = Phase.OVER
        return actions

    # Answers

    def _apply(self, vote: Vote, echo: int, answer: Answer, now: int, actions: list[Action]) -> None:
        match answer:
            case Granted():
                self._granted(vote, echo, answer, now, actions)
            case Inquire():
                self._inquired(vote, answer, actions)
            case Raised() if vote.grant is not None:
                vote.grant.fence = max(vote.grant.fence, answer.fence)
            case Renewed() if vote.grant is not None:
                vote.renewals += 1
                self.ballot.confirm(vote.grant, echo, answer.ttl)
            case LostAnswer():
                self._forget_grant(vote, Said.NOTHING)
                if self.phase is Phase.WAITING or now < self.loss_at:
                    actions.append(Send(vote.node, self._acquire()))
            case _:
                self._not_granted(vote, answer, now)

    def _not_granted(self, vote: Vote, answer: Answer, now: int) -> None:
        match answer:
            case Queued():
                if self.phase is Phase.WAITING:  # a holder may stand in line where its grant was forgotten and adopted
                    self._forget_grant(vote, Said.QUEUED)
                vote.said, vote.holders = Said.QUEUED, answer.holders
            case Refused():
                self._forget_grant(vote, Said.REFUSED)
                vote.holders = answer.holders
            case Rejected():
                if self.phase is Phase.WAITING:  # or it would be renewed where it was forgotten and adopted
                    self._forget_grant(vote, Said.REJECTED)
                self._was_rejected = True
                vote.reject(answer.code, answer.detail, now + REJECTED_PAUSE)
            case Revoked() if self.phase is Phase.WAITING:
                self._forget_grant(vote, Said.REVOKED)
            case Revoked():
                vote.said = Said.REVOKED
            case Recovering():
                vote.said = Said.RECOVERING

    def _granted(self, vote: Vote, echo: int, answer: Granted, now: int, actions: list[Action]) -> None:
        if answer.grant_id == vote.yielded:
            actions.append(Send(vote.node, Yield(self.token, answer.grant_id)))
            return
        known = vote.grant if vote.grant is not None and vote.grant.grant_id == answer.grant_id else None
        if known is None and answer.ttl < self.ballot.carried_ttl:
            self._granted_too_briefly(vote, answer.ttl, now)
            return
        vote.said, vote.holders = Said.GRANTED, ()
        if answer.resent and known is not None:
            known.fence = max(known.fence, answer.fence)
        else:
            known = vote.grant = Grant(answer.grant_id, answer.fence, None)
        if not answer.resent:
            self.ballot.confirm(known, echo, answer.ttl)
        if known.wants_renewal(self.ttl, now):
            self._ask_renewal(vote.node, known, self.ttl, now, actions)

    def _granted_too_briefly(self, vote: Vote, ttl: int, now: int) -> None:
        """Count no grant from the line for less than a holder relies on: a node that rejoins may learn of that only."""
        self._forget_grant(vote, Said.REJECTED)
        self._was_rejected = True
        vote.reject("ttl", "granted for less than the lease relies on", now + ttl + drift(ttl))

    def _inquired(self, vote: Vote, answer: Inquire, actions: list[Action]) -> None:
        grant = vote.grant
        if self.phase is Phase.WAITING and grant is not None and grant.grant_id == answer.grant_id:
            self._forget_grant(vote, Said.QUEUED if self.request.wait else Said.REFUSED)
            vote.yielded = answer.grant_id
            actions.append(Send(vote.node, Yield(self.token, answer.grant_id)))

    def _forget_grant(self, vote: Vote, said: Said) -> None:
        vote.grant, vote.said = None, said
        self._had_majority = False

    # Decisions

    def _decide(self, now: int, actions: list[Action]) -> list[Action]:
        if self.phase is Phase.WAITING:
            if not self._decide_won(now, actions):
                self._decide_given_up(now, actions)
        elif self.phase is Phase.HELD:
            self._decide_held(now, actions)
        else:
            self._decide_out_of_time(now, actions)
        return actions

    def _decide_held(self, now: int, actions: list[Action]) -> None:
        if self.ballot.count(Said.REVOKED) >= self.ballot.majority:
            self._lose("an operator revoked it", now, actions)
        elif not self._ended(now, actions):
            self._settle_ttl(now)
            self._ask_full_ttl(now, actions)
            self._ask_rejecting_again(now, actions)

    def _decide_won(self, now: int, actions: list[Action]) -> bool:
        """Become the holder if a majority stands at one fence and for the full ttl; else ask for what lacks."""
        counted = self.ballot.counted(now)
        if len(counted) < self.ballot.majority:
            return False
        self._had_majority = True
        fences = [grant.fence for grant in counted]
        fence = max(fences)
        if fences.count(fence) < self.ballot.majority:
            raising = Raise(self.token, fence)
            actions += [Send(node, raising) for node in self.ballot.to_raise(fence)]
        elif len(self.ballot.fresh(self._ttl, now)) < self.ballot.majority:
            self._ask_full_ttl(now, actions)
        elif now < self.loss_at:
            self._settle_ttl(now)
            self.phase, self.fence = Phase.HELD, fence
            actions.append(Held(fence))
            return True
        return False

    def _ask_full_ttl(self, now: int, actions: list[Action]) -> None:
        for vote in self.ballot.votes:
            if vote.grant is not None and self.ballot.wants_word(vote.grant, self._ttl, now):
                self._ask_renewal(vote.node, vote.grant, self._ttl, now, actions)

    def _ask_renewal(self, node: str, grant: Grant, ttl: int, now: int, actions: list[Action]) -> None:
        """Renew outside the schedule."""
        grant.ask(ttl, now)
        actions.append(Send(node, Renew(self.token, self._carried(ttl))))

    def _settle_ttl(self, now: int) -> None:
        if self.ballot.settle_ttl(self._ttl, now):
            self._validity = None

    def _carried(self, ttl: int) -> int:
        """Return what to ask for: never less than what bounds rest on, as a node that forgets learns it from others."""
        return max(ttl, self.ballot.carried_ttl)

    def _ask_rejecting_again(self, now: int, actions: list[Action]) -> None:
        """Ask nodes that were full once more: nobody will tell us when they no longer are."""
        if self._was_rejected:
            actions += [Send(node, self._acquire()) for node in self.ballot.to_ask_again(now, REJECTED_PAUSE)]

    def _decide_given_up(self, now: int, actions: list[Action]) -> None:
        """Fail, or step apart, once waiting on makes no sense."""
        verdict = verdict_of_waiting(self.ballot, self.request, self._patience, now, outlived=self._outlived(now))
        if isinstance(verdict, Failure):
            self._fail(verdict, actions)
        elif verdict is not None:
            self._step_apart(verdict, actions)
        elif self.request.patient:
            self._ask_rejecting_again(now, actions)

    def _decide_out_of_time(self, now: int, actions: list[Action]) -> None:
        failure = verdict_of_time(self.ballot, self.request, now, asked=self.phase is Phase.WAITING)
        if failure is not None:
            self._fail(failure, actions)

    # Steps the rules share

    def _acquire(self) -> Acquire:
        request = self.request
        ttl = self._carried(min(self._ttl, self.ballot.trusted_ttl))  # a holder asks for all of it at once
        wait = request.wait or self.phase is Phase.HELD  # a holder that fills a node stands in line like anybody
        return Acquire(self.token, request.space, request.name, request.ticket, ttl, request.mode, wait, request.label)

    def _catch_up(self, vote: Vote) -> list[Action]:
        """Tell a node that came (back) into reach what we want of it; a pending raise follows by itself."""
        vote.forget_questions()
        if self.phase is Phase.WAITING:
            return [Send(vote.node, self._acquire())]
        if self.phase is not Phase.HELD:
            return []
        renewal = Renew(self.token, self._carried(self._ttl))
        return [Send(vote.node, self._acquire() if vote.grant is None else renewal)]

    def _outlived(self, now: int) -> bool:
        """Say whether one who waits had a majority whose validity has ended: no answer revives it."""
        return self.phase is Phase.WAITING and self.request.patient and self._had_majority and now >= self.validity

    def _watch_minority(self, now: int) -> None:
        self._patience.watch(now, minority=self.ballot.live() < self.ballot.majority)

    def _ended(self, now: int, actions: list[Action]) -> bool:
        """Say whether the lease is lost or over; one whose time has come ends here, whatever was just heard."""
        if self.phase is Phase.HELD and now >= self.loss_at:
            self._lose("too few nodes renewed it in time", now, actions)
        elif self.phase is Phase.LOST:
            self._release_after_validity(now, actions)
        return self.phase in (Phase.LOST, Phase.OVER)

    def _release_everywhere(self) -> list[Action]:
        if self.phase is Phase.APART:
            return []
        release = Release(self.token)
        return [Send(vote.node, release) for vote in self.ballot.votes]

    def _step_apart(self, apart: Apart, actions: list[Action]) -> None:
        actions += self._release_everywhere()
        self.phase = Phase.APART
        actions.append(apart)

    def _fail(self, failure: Failure, actions: list[Action]) -> None:
        actions += self._release_everywhere()
        self.phase = Phase.OVER
        actions.append(Failed(failure))

    def _lose(self, reason: str, now: int, actions: list[Action]) -> None:
        """Tell the holder; what it still has is given back when it lets go, or when validity has ended."""
        self.phase = Phase.LOST
        actions.append(Lost(reason))
        self._release_after_validity(now, actions)

    def _release_after_validity(self, now: int, actions: list[Action]) -> None:
        if now >= self.validity:
            actions += self.release()
