"""`lockmanager demo`: the main job, shown and checked in a few seconds."""

from __future__ import annotations

import asyncio

import click

from ..interruption import until_interrupted
from ..messages import log_errors_only
from .checks import BREAKS


@click.command()
@click.option("--break", "broken", type=click.Choice(BREAKS), hidden=True)
def demo(broken: str | None) -> int:
    """Show eight workers contend for one lock while a node dies and a worker oversleeps its lease.

    Starts three nodes on this machine; exits with 0 only if every promise was kept.
    """
    # Only now, as it needs rich: the other commands start sooner without it.
    from .play import perform

    log_errors_only()

    async def play() -> int:
        return await until_interrupted(perform(broken))

    return asyncio.run(play())
