"""What a cluster is: its nodes, limits and keys, and which nodes decide about a name. Pure: text in, values out.

Nodes and clients read the same `cluster.yaml`; the fingerprint tells whether they mean the same cluster. Whatever
is wrong with a description is an `InvalidCluster` that names the field, the value and what to do; a `Cluster` that
exists is valid. Reading files, asking nodes and translating errors belong to the callers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b, sha256
from ipaddress import IPv6Address
from typing import Annotated, Any, Final

import msgspec
import yaml
from msgspec import Meta
from msgspec.structs import force_setattr

from lockmanager import strict

_NODE_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_URL: Final = re.compile(
    r"(https?)://(?:\[([0-9a-f:.]+)\]|([a-z0-9][a-z0-9._-]{0,252}))(?::([0-9]{1,5}))?/?\Z", re.IGNORECASE | re.ASCII
)
_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_SECRET_PATHS: Final = ("api_keys", "classic")
_LARGEST_EPOCH: Final = 2**53
YEAR: Final = 31_536_000.0
_PREFERENCES_KEPT: Final = 16_384

Count = Annotated[int, Meta(ge=1, le=2**31)]
Seconds = Annotated[float, Meta(gt=0.0, le=YEAR)]


class InvalidCluster(ValueError):
    """A cluster description that cannot be used; says which field, which value and what to do."""


class _Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all parts of a cluster: immutable, and an unknown key is an error."""


class NodeAddress(_Description, frozen=True):
    """One node: `url` is what the other nodes use, `public_url` what clients outside use (default: `url`).

    URLs are kept normalised: lower case, no default port, no slash at the end.
    """

    id: str
    url: str
    public_url: str | None = None

    def __post_init__(self) -> None:
        _check_node_id(self.id)
        force_setattr(self, "url", _normalised(f"url of node {self.id!r}", self.url))
        if self.public_url is not None:
            force_setattr(self, "public_url", _normalised(f"public_url of node {self.id!r}", self.public_url))


class Defaults(_Description, frozen=True):
    """What a lock gets when its caller does not say; `ttl` in seconds."""

    ttl: Seconds = 10.0


class Limits(_Description, frozen=True):
    """What a node accepts: sizes in bytes, times in seconds, `waiters` per name and per session.

    `ticket_ahead` is how far a ticket may lie ahead of the node's own numbering.
    """

    name_bytes: Count = 255
    label_bytes: Count = 128
    min_ttl: Seconds = 0.1
    max_ttl: Seconds = 2_592_000.0
    leases: Count = 1_000_000
    waiters: Count = 10_000
    frame_bytes: Count = 1 << 20
    ticket_ahead: Seconds = 86_400.0

    def __post_init__(self) -> None:
        if self.min_ttl > self.max_ttl:
            raise InvalidCluster(f"limits: min_ttl {self.min_ttl:g} is above max_ttl {self.max_ttl:g}; swap them")


class ApiKey(_Description, frozen=True):
    """A key that may use the nodes: its name, and the SHA-256 of the key in hex. The key itself is nowhere."""

    id: str
    sha256: str

    def __post_init__(self) -> None:
        if not self.id or not self.id.isprintable():
            raise InvalidCluster(f"id {self.id!r} of an API key must be printable text; give the key a name")
        force_setattr(self, "sha256", _hash(f"sha256 of API key {self.id!r}", self.sha256))

    def __repr__(self) -> str:
        return f"ApiKey(id={self.id!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("id", self.id)]


class Classic(_Description, frozen=True):
    """The classic HTTP API: whether it answers, and the SHA-256 (hex) of the key it wants, if any."""

    enabled: bool = True
    key_sha256: str | None = None

    def __post_init__(self) -> None:
        if self.key_sha256 is not None:
            force_setattr(self, "key_sha256", _hash("key_sha256", self.key_sha256))

    def __repr__(self) -> str:
        return f"Classic(enabled={self.enabled}, key={'set' if self.key_sha256 else 'none'})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("enabled", self.enabled), ("key", "set" if self.key_sha256 else "none")]


class Cluster(_Description, frozen=True):
    """A valid cluster. `replicas` is how many nodes decide about one name; 0, the default, becomes all of them.

    Raises InvalidCluster when the parts do not fit each other.
    """

    name: str
    nodes: tuple[NodeAddress, ...]
    epoch: Annotated[int, Meta(ge=1, le=_LARGEST_EPOCH)] = 1
    replicas: Annotated[int, Meta(ge=1, le=2**31)] = 0
    defaults: Defaults = Defaults()
    limits: Limits = Limits()
    api_keys: tuple[ApiKey, ...] = ()
    classic: Classic = Classic()

    def __post_init__(self) -> None:
        force_setattr(self, "replicas", self.replicas or len(self.nodes))
        _check_cluster(self)

    @property
    def node_ids(self) -> tuple[str, ...]:
        """Return the ids of all nodes in the order of the file."""
        return tuple(node.id for node in self.nodes)

    @property
    def majority(self) -> int:
        """Return how many of a name's nodes must say yes."""
        return self.replicas // 2 + 1

    @property
    def fingerprint(self) -> str:
        """Return what all who lock together must agree on (node ids, replicas, epoch) as a SHA-256 in hex."""
        return sha256(msgspec.json.encode([sorted(self.node_ids), self.replicas, self.epoch])).hexdigest()

    @property
    def hints(self) -> tuple[str, ...]:
        """Return what is allowed but probably not meant, each a sentence for people."""
        return tuple(hint for hint in (_single_hint(self), _even_hint(self), _classic_hint(self)) if hint)

    def preference(self, name: str) -> tuple[str, ...]:
        """Return all node ids in the order in which `name` prefers them; the same at every client and node."""
        return _preference(self.node_ids, name)

    def quorum_nodes(self, name: str) -> tuple[str, ...]:
        """Return the ids of the `replicas` nodes that decide about `name`; of all nodes, in the order of the file."""
        ids = self.node_ids
        return ids if self.replicas == len(ids) else _preference(ids, name)[: self.replicas]

    def url(self, node_id: str, network: str) -> str:
        """Return where to reach a node on the "internal" or "public" network, without a slash at the end."""
        if network not in ("internal", "public"):
            raise InvalidCluster(f'network {network!r} is unknown; use "internal" or "public"')
        for node in self.nodes:
            if node.id == node_id:
                return node.public_url or node.url if network == "public" else node.url
        raise InvalidCluster(f"node {node_id!r} is not in cluster {self.name!r}; its nodes: {', '.join(self.node_ids)}")

    def is_public(self, url: str) -> bool:
        """Say whether `url` is the public address of a node that has another one inside."""
        try:
            address = _normalised("url", url)
        except InvalidCluster:
            return False
        return any(node.public_url == address != node.url for node in self.nodes)


def parse_cluster(text: str) -> Cluster:
    """Read a cluster from the text of a `cluster.yaml`; raises InvalidCluster, whatever the text is."""
    try:
        raw = strict.load_yaml(text)
    except strict.Malformed as error:
        raise InvalidCluster(str(error)) from None
    cluster = _converted(raw)
    ttl, limits = cluster.defaults.ttl, cluster.limits
    if not limits.min_ttl <= ttl <= limits.max_ttl:
        raise InvalidCluster(
            f"defaults.ttl: {ttl:g} s is outside {limits.min_ttl:g} to {limits.max_ttl:g} s; see limits"
        )
    return cluster


def document(cluster: Cluster) -> dict[str, Any]:
    """Return what `GET /v1/cluster` tells everyone: no keys and no hashes."""
    return {
        "name": cluster.name,
        "epoch": cluster.epoch,
        "replicas": cluster.replicas,
        "fingerprint": cluster.fingerprint,
        "nodes": [{"id": node.id, "url": node.url, "public_url": node.public_url} for node in cluster.nodes],
        "defaults": {"ttl": cluster.defaults.ttl},
        "limits": msgspec.to_builtins(cluster.limits),
    }


def from_document(obj: object) -> Cluster:
    """Read a cluster from the decoded JSON of `GET /v1/cluster`; raises InvalidCluster.

    Keys of later versions are ignored; a fingerprint that does not fit the rest is an error.
    """
    known = _only(obj, "name", "epoch", "replicas", "nodes", "defaults", "limits")
    if isinstance(known.get("nodes"), list):
        known["nodes"] = [_only(node, "id", "url", "public_url") for node in known["nodes"]]
    if "defaults" in known:
        known["defaults"] = _only(known["defaults"], "ttl")
    if "limits" in known:
        known["limits"] = _only(known["limits"], *Limits.__struct_fields__)
    cluster = _converted(known)
    if _only(obj, "fingerprint").get("fingerprint", cluster.fingerprint) != cluster.fingerprint:
        raise InvalidCluster(
            "fingerprint does not fit the node ids, replicas and epoch beside it; upgrade, or ask again"
        )
    return cluster


def render_yaml(cluster: Cluster) -> str:
    """Return a `cluster.yaml` that reads back as the same cluster; settings at their defaults are left out."""
    plain = Cluster(name=cluster.name, nodes=cluster.nodes)
    shown = [
        key
        for key in cluster.__struct_fields__
        if key in ("name", "nodes", "replicas") or getattr(cluster, key) != getattr(plain, key)
    ]
    built = msgspec.to_builtins(cluster)
    return yaml.safe_dump({key: built[key] for key in shown}, sort_keys=False, allow_unicode=True)


@lru_cache(maxsize=_PREFERENCES_KEPT)
def _preference(node_ids: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(sorted(node_ids, key=lambda node_id: (_weight(name, node_id), node_id), reverse=True))


def _weight(name: str, node_id: str) -> bytes:
    # The lengths keep ("ab", "c") and ("a", "bc") apart.
    parts = (name.encode("utf-8", "surrogatepass"), node_id.encode())
    return blake2b(b"".join(len(part).to_bytes(4, "big") + part for part in parts), digest_size=16).digest()


def _single_hint(cluster: Cluster) -> str:
    if len(cluster.nodes) == 1:
        return "nodes has one entry: while that node is down nobody gets a lock; three nodes tolerate one failure."
    if cluster.replicas == 1:
        return "replicas is 1: while a node is down nobody gets the locks it decides about; 3 tolerates one failure."
    return ""


def _even_hint(cluster: Cluster) -> str:
    replicas = cluster.replicas
    if replicas % 2:
        return ""
    tolerated = replicas - cluster.majority
    return (
        f"replicas is {replicas}, an even number: it tolerates {tolerated} failed nodes, "
        f"no more than {replicas - 1} would; use {replicas - 1} or {replicas + 1}."
    )


def _classic_hint(cluster: Cluster) -> str:
    if not cluster.api_keys or not cluster.classic.enabled or cluster.classic.key_sha256:
        return ""
    return "api_keys do not guard the classic API: set classic.key_sha256, or classic.enabled to false."


def _check_cluster(cluster: Cluster) -> None:
    if not cluster.name.strip() or not cluster.name.isprintable():
        raise InvalidCluster(f"name {cluster.name!r} must be printable text and not empty; name the cluster")
    if not cluster.nodes:
        raise InvalidCluster("nodes is empty; name at least one node")
    if not 1 <= cluster.replicas <= len(cluster.nodes):
        raise InvalidCluster(f"replicas is {cluster.replicas}; choose 1 to {len(cluster.nodes)}, the number of nodes")
    _check_unique("nodes", "id", [(node.id, node.id) for node in cluster.nodes])
    _check_unique("nodes", "url", [(node.url, node.id) for node in cluster.nodes])
    _check_unique("nodes", "public_url", [(node.public_url or node.url, node.id) for node in cluster.nodes])
    _check_unique("api_keys", "id", [(key.id, key.id) for key in cluster.api_keys])


def _check_unique(where: str, field: str, entries: list[tuple[str, str]]) -> None:
    owners: dict[str, str] = {}
    for value, owner in entries:
        if value in owners:
            whose = "" if owner == value else f" at {owners[value]!r} and {owner!r}"
            raise InvalidCluster(f"{where}: {field} {value!r} appears twice{whose}; each needs its own")
        owners[value] = owner


def _check_node_id(node_id: str) -> None:
    if not _NODE_ID.match(node_id):
        raise InvalidCluster(
            f"node id {node_id!r} must be 1 to 64 of the characters A-Z a-z 0-9 . _ -; rename the node"
        )


def _hash(field: str, text: str) -> str:
    # The value is not shown: it may be the key itself, pasted by mistake.
    if not _SHA256.match(text.lower()):
        raise InvalidCluster(f"{field} must be 64 hex digits; print it with: printf %s KEY | sha256sum")
    return text.lower()


def _normalised(field: str, url: str) -> str:
    match = _URL.match(url)
    if not match:
        raise _bad_url(field, url)
    scheme, ipv6, host, port = (group and group.lower() for group in match.groups())
    if ipv6:
        host = f"[{_compressed(field, url, ipv6)}]"
    if port and not 1 <= int(port) <= 65_535:
        raise _bad_url(field, url)
    port = str(int(port)) if port else ""
    return f"{scheme}://{host}" + (f":{port}" if port and port != _DEFAULT_PORTS[scheme] else "")


def _compressed(field: str, url: str, ipv6: str) -> str:
    try:
        return IPv6Address(ipv6).compressed
    except ValueError:
        raise _bad_url(field, url) from None


def _bad_url(field: str, url: str) -> InvalidCluster:
    advice = "leave the credentials out and use api_keys" if "@" in url else "nothing may follow, no path and no query"
    shown = strict.redacted(url)[:100]
    return InvalidCluster(f"{field} is {shown!r}; write http://host:port or https://host:port, {advice}")


def _only(obj: object, *keys: str) -> dict[str, Any]:
    if not isinstance(obj, Mapping):
        raise InvalidCluster(
            f"the cluster document has a {type(obj).__name__} where an object with {keys[0]!r} belongs"
        )
    return {key: obj[key] for key in keys if key in obj}


def _converted(raw: object) -> Cluster:
    try:
        return strict.convert(raw, Cluster, hidden=_SECRET_PATHS)
    except strict.Malformed as error:
        raise InvalidCluster(str(error)) from None
