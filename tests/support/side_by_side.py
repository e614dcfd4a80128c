"""Runs scenes that take long and do little at the same time; each test then asks what came of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

Scene = Callable[[], Awaitable[T]]


class Played:
    """What came of the scenes."""

    def __init__(self, outcomes: dict[Scene[Any], Any]) -> None:
        self._outcomes = outcomes

    def __call__(self, scene: Scene[T]) -> T:
        """Return what a scene returned, or raise what it raised."""
        outcome = self._outcomes[scene]
        if isinstance(outcome, BaseException):
            raise outcome
        result: T = outcome
        return result


@contextmanager
def played(*scenes: Scene[Any]) -> Iterator[Played]:
    """Play all scenes, in one event loop of their own."""
    outcomes = asyncio.run(_play(scenes))
    yield Played(dict(zip(scenes, outcomes, strict=True)))


async def _play(scenes: tuple[Scene[Any], ...]) -> list[Any]:
    return await asyncio.gather(*(scene() for scene in scenes), return_exceptions=True)
