"""What the small servers here share: they live as long as whoever started them keeps their standard input open."""

from __future__ import annotations

import asyncio
import os
import sys


async def until_input_ends() -> None:
    """Return when standard input is closed, as it is when the parent ends, however it ends."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def look() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            loop.remove_reader(sys.stdin)
            ended.set()

    loop.add_reader(sys.stdin, look)
    await ended.wait()
