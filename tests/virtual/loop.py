"""An event loop whose time is virtual: where nothing can run, its clock goes straight to the next timer.

It has no selector, no socket and no thread, so what runs on it depends on nothing but the program. What listens on it
listens on its `exchange`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn, Protocol, TypeVar

Result = TypeVar("Result")

RESOLUTION: Final = 1e-6
"""Seconds within which timers go off together; a float tells instants apart that are closer for a century."""


class Stuck(AssertionError):
    """Everybody waits for somebody, and no timer is set; or it goes on and on without an end."""


class Exchange(Protocol):
    """Where connections to this loop's servers come from."""

    def listen(self, place: Any, factory: Callable[[], asyncio.Protocol]) -> Any:
        """Serve connections to a place until what this returns is closed."""
        ...


class _Time:
    """Stands where a loop has its selector: waiting for events is letting time pass."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> tuple[()]:
        if timeout is None:
            raise Stuck(f"nothing will ever happen again; {self._loop.whereabouts()}")
        if timeout > 0:
            self._loop.go_to_next_timer()
        return ()


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs in virtual time, for `within` seconds of it at most. `after_turn` is called after each turn."""

    def __init__(self, within: float) -> None:
        super().__init__()
        self._within = self._ends = within
        self.exchange: Exchange | None = None
        self.after_turn: Callable[[], None] | None = None
        self._selector = _Time(self)
        self._clock_resolution = RESOLUTION
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def go_to_next_timer(self) -> None:
        """Let the time pass for which nothing happens."""
        self._now = max(self._now, self._timers[0].when())
        if self._now > self._ends:
            self._ends += self._within  # for those who clean up
            raise Stuck(f"not over after {self._within:g} s; {self.whereabouts()}")

    def whereabouts(self) -> str:
        """Return when it is, and which tasks are where."""
        tasks = sorted(f"{task.get_name()} in {_coroutine(task)}" for task in asyncio.all_tasks(self))
        return f"at {self.time():g} s; waiting: {', '.join(tasks)}"

    def timers(self) -> list[str]:
        """Return what the timers that are set will call."""
        return sorted(repr(timer) for timer in self._timers if not timer.cancelled())

    def tasks(self) -> Counter[str]:
        """Return how many tasks are under way in each coroutine."""
        return Counter(_coroutine(task) for task in asyncio.all_tasks(self))

    async def create_server(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.Protocol], *_: object, sock: Any, **__: object
    ) -> Any:
        """Listen on the exchange; `sock` is the place there."""
        assert self.exchange is not None, "nobody can be reached on this loop: give it an exchange"
        return self.exchange.listen(sock, protocol_factory)

    def remove_reader(self, fd: object) -> bool:
        """Accept no more: there is nothing to take off, as what connects arrives at once."""
        del fd
        return False

    def run_in_executor(self, *_: object) -> NoReturn:
        raise AssertionError("a thread was asked for: virtual time knows none")

    @property
    def _timers(self) -> list[asyncio.TimerHandle]:
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        return timers

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]
        if self.after_turn is not None:
            self.after_turn()

    def _process_events(self, events: object) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def _coroutine(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", "?")


def run_virtually(main: Callable[[VirtualLoop], Coroutine[Any, Any, Result]], *, within: float = 600) -> Result:
    """Run a coroutine on a virtual loop of its own; raises Stuck when it never ends, or not within so many seconds."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(within)) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        return runner.run(main(loop))
