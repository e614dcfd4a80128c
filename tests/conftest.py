"""What every test run needs: no event loop nobody closes."""

from __future__ import annotations

import asyncio


def pytest_configure() -> None:
    """Say that there is no current event loop.

    Before its first loop the asyncio plugin asks for the current one, and Python up to 3.13 then makes one that is
    never closed; warnings being errors, its end would fail whichever test runs when it is collected.
    """
    asyncio.set_event_loop(None)
