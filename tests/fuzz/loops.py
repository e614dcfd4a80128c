"""Event loops for properties, in real and in virtual time: nothing goes wrong in them unheard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import looptime

from .properties import told

LOGGERS = ("lockmanager", "lockmanager_node", "aiohttp", "asyncio")


class _Errors(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.heard.append(record.getMessage() + (f": {told(error)}" if error is not None else ""))


@contextmanager
def errors() -> Iterator[list[str]]:
    """Hear what is logged as an error while the block runs; it is not shown elsewhere."""
    handler, loggers = _Errors(), [logging.getLogger(name) for name in LOGGERS]
    before = [one.propagate for one in loggers]
    for one in loggers:
        one.addHandler(handler)
        one.propagate = False
    try:
        yield handler.heard
    finally:
        for one, propagated in zip(loggers, before, strict=True):
            one.removeHandler(handler)
            one.propagate = propagated


def hear(loop: asyncio.AbstractEventLoop, heard: list[str]) -> None:
    """Let what a callback or a forgotten task raises be heard as what is logged is."""
    loop.set_exception_handler(lambda _, context: heard.append(_of(context)))


def _of(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{context['message']}: {told(error) if error is not None else 'no exception'}"


def require_silence(heard: list[str]) -> None:
    """Fail with what was heard, and forget it."""
    said, heard[:] = list(heard), []
    assert not said, f"logged or raised unheard: {said}"


class Stage:
    """Runs coroutines, each in an event loop of its own; an error that is only logged fails the one that runs."""

    def __init__(self, heard: list[str], new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._heard = heard
        self._new_loop = new_loop

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._heard.clear()
        with asyncio.Runner(loop_factory=self._new_loop) as runner:
            hear(runner.get_loop(), self._heard)
            runner.run(coroutine)
        require_silence(self._heard)


@contextmanager
def real_time() -> Iterator[Stage]:
    """Run on the clock of the machine."""
    with errors() as heard:
        yield Stage(heard, asyncio.new_event_loop)


@contextmanager
def virtual_time() -> Iterator[Stage]:
    """Run in virtual time: hours pass in milliseconds."""

    def new_loop() -> asyncio.AbstractEventLoop:
        return looptime.new_event_loop(_enabled=True)

    with errors() as heard:
        yield Stage(heard, new_loop)
