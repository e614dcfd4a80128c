"""Which cluster a command talks to: the options that say so, and what they stand for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

import click
from click.core import ParameterSource

from ..coordinator import Coordinator
from ..discovery import load_document, read_cluster_file
from ..errors import ConfigurationError
from ..topology import Cluster

_NETWORKS: Final = ("internal", "public")
_HOW: Final = "use --config cluster.yaml, LOCKMANAGER_CLUSTER, or --url http://host:port of any node"


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster by its file or by one node's URL; exactly one of the two is given."""

    config: str | None
    url: str | None
    network: str | None

    def coordinator(self, label: str | None) -> Coordinator:
        """Return a coordinator of the cluster, not opened; raises ConfigurationError."""
        if self.url is not None:
            return Coordinator.discover(self.url, network=self.network, label=label)
        return Coordinator.from_config(self.config or "", network=self.network, label=label)

    async def cluster(self) -> Cluster:
        """Return the cluster; raises ConfigurationError, AccessDenied."""
        if self.url is not None:
            return await load_document(self.url, api_key=api_key())
        return read_cluster_file(self.config or "")

    def chosen_network(self) -> str:
        """Return the network whose addresses to use; raises ConfigurationError for an unknown one."""
        chosen = self.network or os.environ.get("LOCKMANAGER_NETWORK", "internal")
        if chosen not in _NETWORKS:
            raise ConfigurationError(
                f"LOCKMANAGER_NETWORK is {chosen!r}; use 'internal' (url) or 'public' (public_url)"
            )
        return chosen


def api_key() -> str | None:
    """Return the key to show to the nodes; it never appears in a message."""
    return os.environ.get("LOCKMANAGER_API_KEY")


def with_target(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command `--config`, `--url` and `--network`, and hand it their meaning as `target`."""

    @click.option("--config", metavar="PATH", envvar="LOCKMANAGER_CLUSTER", help="cluster.yaml [LOCKMANAGER_CLUSTER]")
    @click.option("--url", metavar="URL", help="any one node's URL, instead of --config")
    @click.option("--network", type=click.Choice(_NETWORKS), help="which addresses to use [LOCKMANAGER_NETWORK]")
    @wraps(command)
    def told(*, config: str | None, url: str | None, network: str | None, **others: Any) -> int:
        return command(target=_target(config or None, url, network), **others)

    return told


def _target(config: str | None, url: str | None, network: str | None) -> Target:
    if url is not None and config is not None:
        if click.get_current_context().get_parameter_source("config") is not ParameterSource.ENVIRONMENT:
            raise click.UsageError("--config and --url both name a cluster; give one of them")
        config = None
    if url is None and config is None:
        raise ConfigurationError(f"no cluster is given; {_HOW}")
    return Target(config, url, network)
