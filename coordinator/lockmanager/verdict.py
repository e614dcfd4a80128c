"""Whether one who waits had better wait on: fail, step apart, or neither. Pure; a function of votes and `now`."""

from __future__ import annotations

from .actions import Apart, Failure, Request
from .ballot import Ballot, Said
from .patience import Patience


def verdict_of_waiting(
    ballot: Ballot, request: Request, patience: Patience, now: int, *, outlived: bool
) -> Failure | Apart | None:
    """Return how to end an acquisition that asked its nodes and has no majority; None to wait on.

    `outlived` is one that had a majority whose validity has ended.
    """
    said = [vote.said for vote in ballot.votes]
    rejections = said.count(Said.REJECTED)
    if rejections and ballot.out_of_reach(rejections):
        return Failure.REJECTED
    failure = verdict_of_time(ballot, request, now, asked=True)
    if failure is not None:
        return failure
    if not request.patient:
        return _verdict_of_try(ballot, request, patience, now)
    if patience.is_alone(now) or outlived or Said.REVOKED in said:
        return Apart(split=False)
    return None


def verdict_of_time(ballot: Ballot, request: Request, now: int, *, asked: bool) -> Failure | None:
    """Return why nothing can come of it any more: no node will talk to us, or the deadline has passed."""
    refused = ballot.refused_links()
    if refused and ballot.out_of_reach(refused):
        return Failure.REFUSED_LINK
    if request.deadline is None or now < request.deadline:
        return None
    return Failure.TIMEOUT if asked and ballot.answered() >= ballot.majority else Failure.UNREACHABLE


def _verdict_of_try(ballot: Ballot, request: Request, patience: Patience, now: int) -> Failure | Apart | None:
    """Give up a try as soon as a majority of yes cannot come any more."""
    useless = ballot.unreachable(silent_too=patience.silence_ended(now))
    useless += ballot.count_live(Said.REJECTED, Said.RECOVERING)
    if ballot.out_of_reach(useless):
        return Failure.UNREACHABLE
    if ballot.out_of_reach(useless + ballot.count_live(Said.REFUSED, Said.REVOKED)):
        return Apart(split=True) if ballot.is_split() and patience.may_retry(now) else Failure.HELD
    if not request.wait and patience.try_ended(now):
        return Failure.UNREACHABLE
    return None
