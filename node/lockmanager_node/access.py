"""Who may use this node: compares what a caller shows with the hashes in the cluster description. Pure.

The node knows no key, only SHA-256 hashes; what the caller shows is hashed at once and appears in no verdict,
repr or error. Turning a verdict into a status belongs to `web`.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Final

from lockmanager.topology import Cluster


class Outcome(Enum):
    """Why a caller may or may not go on."""

    OPEN = "no key is wanted"
    KNOWN = "the key is known"
    MISSING = "a key is wanted and none was given"
    WRONG = "the key is not known"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `Access` says of one request; `key_id` names the key, and is None for a classic one or none at all."""

    outcome: Outcome
    key_id: str | None = None

    @property
    def allowed(self) -> bool:
        """Whether the request may go on."""
        return self.outcome in (Outcome.OPEN, Outcome.KNOWN)


_OPEN: Final = Verdict(Outcome.OPEN)
_MISSING: Final = Verdict(Outcome.MISSING)
_WRONG: Final = Verdict(Outcome.WRONG)


class Access:
    """The doors of one node: the API's, open while the cluster names no API keys, and the classic API's."""

    def __init__(self, cluster: Cluster) -> None:
        self._keys = tuple((key.id, key.sha256) for key in cluster.api_keys)
        self.peer_key = _peer_key(cluster)
        self._classic = cluster.classic.key_sha256

    def __repr__(self) -> str:
        return f"Access(api_keys={len(self._keys)}, classic={'closed' if self._classic else 'open'})"

    def allows(self, authorization_header: str | None) -> Verdict:
        """Judge the value of an `Authorization` header: `Bearer <key>`; any other scheme counts as no key."""
        if not self._keys:
            return _OPEN
        key = _bearer(authorization_header)
        if not key:
            return _MISSING
        shown = _digest(key)
        # All are compared, so that the time taken tells nothing about which one came close.
        known = [key_id for key_id, expected in self._keys if hmac.compare_digest(shown, expected)]
        return Verdict(Outcome.KNOWN, known[0]) if known else _WRONG

    def allows_peer(self, authorization_header: str | None) -> Verdict:
        """Judge a node of this cluster, which shows `peer_key`; whoever may use the API may ask the same."""
        key = _bearer(authorization_header)
        if self.peer_key is not None and hmac.compare_digest(_digest(key), _digest(self.peer_key)):
            return Verdict(Outcome.KNOWN)
        return self.allows(authorization_header)

    def classic_allows(self, auth: str | None) -> Verdict:
        """Judge the `auth` of a classic request; an empty one counts as missing."""
        if self._classic is None:
            return _OPEN
        if not auth:
            return _MISSING
        return Verdict(Outcome.KNOWN) if hmac.compare_digest(_digest(auth), self._classic) else _WRONG


def _peer_key(cluster: Cluster) -> str | None:
    """Return what the nodes show each other: made of the hashes of the keys, so that it needs no setting of its own.

    Whoever has the hashes can make it: it opens `GET /v1/recovery` and nothing else.
    """
    if not cluster.api_keys:
        return None
    hashes = "".join(sorted(key.sha256 for key in cluster.api_keys))
    return hmac.new(hashes.encode(), f"recovery of {cluster.fingerprint}".encode(), sha256).hexdigest()


def _bearer(header: str | None) -> str:
    scheme, _, key = (header or "").strip().partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _digest(key: str) -> str:
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
