"""Which host an efficiency lock asks next: its preference list, without the hosts that just failed. Pure.

A circuit breaker per host: closed while it works; open for a while after a failure, longer each time; then the
host is asked again. A session that comes (back) up closes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from .durations import MICROSECONDS

FIRST_PAUSE: Final = MICROSECONDS
LONGEST_PAUSE: Final = 30 * MICROSECONDS


@dataclass(slots=True)
class _Breaker:
    failures: int = 0
    open_until: int = 0


class Breakers:
    """The circuit breakers of all hosts of one coordinator."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self._breakers = {node: _Breaker() for node in nodes}

    def order(self, preference: Iterable[str], now: int) -> list[str]:
        """Return the preference list without the hosts that failed a while ago; all of them when all failed."""
        hosts = list(preference)
        return [host for host in hosts if self._breakers[host].open_until <= now] or hosts

    def failed(self, node: str, now: int) -> None:
        """Skip the host for a second, doubled with each failure in a row up to half a minute."""
        breaker = self._breakers[node]
        breaker.open_until = now + min(FIRST_PAUSE << min(breaker.failures, 16), LONGEST_PAUSE)
        breaker.failures += 1

    def works(self, node: str) -> None:
        """Ask the host again from now on."""
        self._breakers[node] = _Breaker()
