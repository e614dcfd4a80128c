"""`lockmanager up`: a local cluster of node processes, until ^C."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..discovery import read_cluster_file
from ..errors import ConfigurationError
from .exits import Exit
from .interruption import ENDING, listen
from .local import running
from .messages import say

if TYPE_CHECKING:
    from ..testing import LocalCluster

_MOST = 64


@click.command()
@click.option("--nodes", type=click.IntRange(1, _MOST), default=3, show_default=True, help="how many nodes")
@click.option("--config", metavar="PATH", help="where to write the cluster.yaml (default: a temporary file)")
def up(nodes: int, config: str | None) -> int:
    """Run a local cluster of node processes until ^C or SIGTERM, for trying things out.

    Each node has a journal; all of them are deleted at the end.
    """
    try:
        return asyncio.run(_up(nodes, None if config is None else Path(config)))
    except RuntimeError as error:
        say(str(error))
        return Exit.UNAVAILABLE


async def _up(nodes: int, path: Path | None) -> int:
    from ..testing import LocalCluster

    ended = asyncio.Event()
    listen(ENDING, lambda _: ended.set())
    if path is not None:
        await asyncio.to_thread(_check_ours, path)
    local = LocalCluster(nodes, processes=True)
    async with running(local):
        if path is not None:
            await asyncio.to_thread(_write, path, local.config_path)
        if not ended.is_set():
            _tell(local, path or local.config_path)
            # No deadline: it runs until it is told to end.
            await ended.wait()
    return Exit.OK


def _check_ours(path: Path) -> None:
    """Refuse to overwrite anything but the description of an earlier local cluster."""
    if path.exists() and read_cluster_file(path).name != "local":
        raise ConfigurationError(f"{path} describes another cluster; give --config a path of its own")


def _write(path: Path, source: Path) -> None:
    try:
        path.write_bytes(source.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}; give --config another path") from None


def _tell(local: LocalCluster, path: Path) -> None:
    for node, url in local.urls.items():
        click.echo(f"{node}  {url}")
    click.echo(f"\n# {path.absolute()}")
    click.echo(local.config_path.read_text(encoding="utf-8"))
    click.echo(f"Try:   lockmanager run --config {path.absolute()} hello -- sh -c 'echo fence $LOCKMANAGER_FENCE'")
    click.echo("Stop:  ^C")
