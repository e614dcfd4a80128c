"""Blocking steps of a run, off its event loop: whoever is cancelled meanwhile goes on only when the step is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(step: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Do one step; a thread cannot be cancelled, and what it still does must not outlive the run."""
    doing = asyncio.ensure_future(asyncio.to_thread(step, *arguments, **named))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        doing.exception()  # nobody is left to tell
        raise
