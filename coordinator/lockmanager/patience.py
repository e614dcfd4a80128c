"""How long one who acquires has waited for nodes, and when that is long enough. Pure; instants in microseconds."""

from __future__ import annotations

from .actions import Request


class Patience:
    """The instants that end the waiting of one acquisition, apart from its deadline."""

    def __init__(self, request: Request, now: int) -> None:
        self._patient = request.patient
        self._node_timeout = request.node_timeout
        self._first_start = now
        self._started = now
        self._minority_since: int | None = None

    def start(self, now: int) -> None:
        """Note that the nodes are asked, again perhaps, under a new token."""
        self._started = now

    def watch(self, now: int, *, minority: bool) -> None:
        """Note whether fewer than a majority of the sessions are live."""
        if not minority:
            self._minority_since = None
        elif self._minority_since is None:
            self._minority_since = now

    def is_alone(self, now: int) -> bool:
        """Say whether a majority has been out of reach for the node timeout: one who waits must let others by."""
        return self._minority_since is not None and now - self._minority_since >= self._node_timeout

    def silence_ended(self, now: int) -> bool:
        """Say whether a silent node counts as unreachable."""
        return now >= self._silence_ends

    def try_ended(self, now: int) -> bool:
        """Say whether a try that has a majority, but not its fence or its full ttl, has had its three round trips."""
        return now >= self._try_ends

    def may_retry(self, now: int) -> bool:
        """Say whether a split try is worth repeating."""
        return now < self._first_start + self._node_timeout

    def ends(self) -> list[int]:
        """Return the instants at which one of the answers above changes."""
        if not self._patient:
            return [self._silence_ends, self._try_ends]
        return [] if self._minority_since is None else [self._minority_since + self._node_timeout]

    @property
    def _silence_ends(self) -> int:
        return self._started + self._node_timeout

    @property
    def _try_ends(self) -> int:
        return self._started + 3 * self._node_timeout
