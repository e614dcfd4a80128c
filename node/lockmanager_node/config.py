"""What this node process was told: options first, then `LOCKMANAGER_*` variables, then defaults.

Reads the cluster file and nothing else; opens no socket and touches no data directory. Every mistake is a
`ConfigError` that names the option or variable, the value and what to do.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from lockmanager.topology import Cluster, InvalidCluster, NodeAddress, parse_cluster

LOG_LEVELS: Final = ("debug", "info", "warning", "error", "critical")

_HELP: Final = {
    "cluster": "cluster.yaml; without one the node is a cluster of one",
    "node-id": "which node of the cluster this is; may be left out in a cluster of one",
    "listen": "HOST:PORT to listen on (default: 127.0.0.1:8000)",
    "data-dir": "directory of the journal, of this node alone; without one leases are kept in memory only",
    "log-level": f"one of {', '.join(LOG_LEVELS)} (default: warning)",
}
_NEW_CLUSTER: Final = "new-cluster"
_STANDALONE_NAME: Final = "standalone"
_STANDALONE_NODE: Final = "node1"
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a client on this machine dials instead


class ConfigError(ValueError):
    """The node cannot start with what it was told; says which option, which value and what to do."""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Everything a node process needs to start. `host` is bare: an IPv6 address has no brackets."""

    cluster: Cluster
    node_id: str
    host: str
    port: int
    data_dir: Path | None
    log_level: str
    new_cluster: bool = False


@dataclass(frozen=True, slots=True)
class _Setting:
    """One value and where it was given, for messages."""

    origin: str
    value: str


def load(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> NodeConfig:
    """Return the configuration from options and environment (default: this process's); raises ConfigError.

    An empty variable counts as not set. `--help` prints and exits.
    """
    options = vars(_parser().parse_args(sys.argv[1:] if argv is None else list(argv)))
    variables = os.environ if environ is None else environ
    given = {name: _setting(name, options, variables) for name in _HELP}
    host, port = _listen(given["listen"] or _Setting("--listen", "127.0.0.1:8000"))
    cluster = _cluster(given["cluster"], given["node-id"], host, port)
    data_dir = given["data-dir"]
    return NodeConfig(
        cluster=cluster,
        node_id=_node_id(given["node-id"], cluster),
        host=host,
        port=port,
        data_dir=Path(data_dir.value) if data_dir else None,
        log_level=_log_level(given["log-level"] or _Setting("--log-level", "warning")),
        new_cluster=_new_cluster(options, variables),
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="lockmanager-node", description="Run one lock node.", allow_abbrev=False)
    for name, text in _HELP.items():
        parser.add_argument(f"--{name}", help=f"{text} [{_variable(name)}]")
    parser.add_argument(
        f"--{_NEW_CLUSTER}",
        action="store_true",
        help="do not ask the other nodes what is held: your word that nothing is. For a first start without all of them"
        f" [{_variable(_NEW_CLUSTER)}=1]",
    )
    return parser


def _new_cluster(options: Mapping[str, object], environ: Mapping[str, str]) -> bool:
    value = environ.get(_variable(_NEW_CLUSTER), "")
    if value not in ("", "0", "1"):
        raise ConfigError(f"{_variable(_NEW_CLUSTER)} is {value!r}; write 1, or 0 to leave it")
    return bool(options["new_cluster"]) or value == "1"


def _variable(name: str) -> str:
    return "LOCKMANAGER_" + name.upper().replace("-", "_")


def _setting(name: str, options: Mapping[str, str | None], environ: Mapping[str, str]) -> _Setting | None:
    option = options[name.replace("-", "_")]
    if option is not None:
        return _Setting(f"--{name}", option)
    value = environ.get(_variable(name))
    return _Setting(_variable(name), value) if value else None


def _listen(setting: _Setting) -> tuple[str, int]:
    host, _, port = setting.value.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not host or not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65_535):
        raise ConfigError(
            f"{setting.origin} is {setting.value!r}; write HOST:PORT with a port from 1 to 65535, "
            "such as 127.0.0.1:8000, 0.0.0.0:8000 for all interfaces, or [::1]:8000"
        )
    return host, int(port)


def _cluster(path: _Setting | None, node_id: _Setting | None, host: str, port: int) -> Cluster:
    if path is not None:
        return _read(path)
    host = _WILDCARDS.get(host, host)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        node = NodeAddress(node_id.value if node_id else _STANDALONE_NODE, url)
    except InvalidCluster as error:
        raise ConfigError(f"--node-id or --listen: {error}") from None
    return Cluster(name=_STANDALONE_NAME, nodes=(node,))


def _read(path: _Setting) -> Cluster:
    where = f"{path.origin} {path.value!r}"
    try:
        return parse_cluster(Path(path.value).read_bytes().decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror}; give the path of a cluster.yaml") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except ValueError as error:  # InvalidCluster, and a path with a NUL
        raise ConfigError(f"{where}: {error}") from None


def _node_id(setting: _Setting | None, cluster: Cluster) -> str:
    known = ", ".join(cluster.node_ids)
    if setting is None and len(cluster.nodes) > 1:
        raise ConfigError(f"--node-id (or {_variable('node-id')}) is missing; say which node this is: {known}")
    if setting is None:
        return cluster.node_ids[0]
    if setting.value not in cluster.node_ids:
        raise ConfigError(
            f"{setting.origin} {setting.value!r} is not in cluster {cluster.name!r}; choose one of: {known}"
        )
    return setting.value


def _log_level(setting: _Setting) -> str:
    level = setting.value.lower()
    if level not in LOG_LEVELS:
        raise ConfigError(f"{setting.origin} is {setting.value!r}; choose one of: {', '.join(LOG_LEVELS)}")
    return level
