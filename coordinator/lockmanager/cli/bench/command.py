"""`lockmanager bench`: what a user may expect of this cluster from this machine."""

from __future__ import annotations

import asyncio
import json
import math
import secrets
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

import click

from ..exits import Exit
from ..interruption import until_interrupted
from ..messages import log_errors_only, say
from ..tables import show_table
from ..target import Target, api_key, with_target
from .figures import Figures
from .floor import round_trips
from .leaving import leaving_nothing
from .names import LONGEST_SECONDS, MOST_WORKERS, Names, fault
from .showing import COLUMNS, Setting, document, rows
from .workloads import Workloads

_RUN_BYTES: Final = 6


class _Seconds(click.FloatRange):
    """More than nothing and at most the longest; click itself lets NaN pass every range."""

    def __init__(self) -> None:
        super().__init__(0, LONGEST_SECONDS, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value} is no number of seconds", param, ctx)
        return seconds


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be measured; `seconds` per part."""

    target: Target
    names: Names
    workers: int
    seconds: float


def _checked_prefix(_: click.Context, param: click.Parameter, value: str) -> str:
    if not value:
        raise click.BadParameter("without a prefix the names would not be of its own", param=param)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("it is not valid UTF-8", param=param) from None
    return value


@click.command()
@click.option("--seconds", type=_Seconds(), default=3.0, show_default=True, help="how long each part takes")
@click.option("--workers", type=click.IntRange(1, MOST_WORKERS), default=100, show_default=True, help="how many")
@click.option(
    "--prefix", default="lockmanager-bench/", show_default=True, callback=_checked_prefix, help="of every name locked"
)
@click.option("--json", "as_json", is_flag=True, help="for programs; durations in seconds")
@with_target
def bench(
    target: Target,
    seconds: float,
    workers: int,
    prefix: str,
    as_json: bool,  # noqa: FBT001  # click passes by keyword
) -> int:
    """Measure how fast this cluster locks for one client: this process, from this machine.

    One worker; then workers with names of their own; then as many that all want one name; and a ping to each node,
    below which no lock can be. It loads the cluster while it runs, for about three times --seconds, and locks nothing
    but names under --prefix and a random id. However it ends, it leaves nothing held.

    \b
    Exit status: 0 measured   1 nothing was counted in some part
      64 usage   69 too few nodes answer   77 access denied   78 bad configuration
      128 + signal when it was interrupted
    """
    log_errors_only()
    return _run(until_interrupted(_bench(_Plan(target, Names(prefix, _run_id()), workers, seconds), as_json=as_json)))


def _run_id() -> str:
    return secrets.token_hex(_RUN_BYTES)


def _run(work: Coroutine[Any, Any, int]) -> int:
    """Run in the quicker event loop where there is one, as the nodes do."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


async def _bench(plan: _Plan, *, as_json: bool) -> int:
    setting, figures = await _measured(plan)
    if as_json:
        click.echo(json.dumps(document(setting, figures)))
    else:
        show_table(COLUMNS, rows(setting, figures))
        click.echo(str(setting))
    if figures.empty:
        say(f"nothing was counted in: {', '.join(figures.empty)}; give more --seconds or fewer --workers")
        return Exit.FAILED
    return Exit.OK


async def _measured(plan: _Plan) -> tuple[Setting, Figures]:
    async with plan.target.coordinator(None) as coordinator:
        engine = coordinator.engine
        cluster = engine.cluster
        wrong = fault(plan.names, plan.workers, cluster.limits)
        if wrong is not None:
            raise click.UsageError(wrong)
        setting = Setting(
            cluster=cluster.name,
            nodes=len(cluster.nodes),
            replicas=cluster.replicas,
            names=plan.names.root,
            workers=plan.workers,
            seconds=plan.seconds,
            event_loop=type(asyncio.get_running_loop()).__module__.partition(".")[0],
        )
        trips = await round_trips({node: engine.url(node) for node in cluster.node_ids}, plan.seconds, api_key())
        work = Workloads(coordinator, plan.names, plan.seconds)
        async with leaving_nothing(coordinator, plan.target, plan.names):
            figures = Figures(await work.alone(), await work.crowd(plan.workers), await work.queue(plan.workers), trips)
    return setting, figures
