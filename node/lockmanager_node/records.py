"""What the journal keeps of the table: one record for each lease, and for each token an operator revoked by force.

Values between the table, which makes and reads them, and the journal, which writes them. Instants are of the node's
clock and mean something only within one boot of the machine; `ttl` and `full_ttl` are what a lease gets again after
another boot. Pure: nothing here knows of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from lockmanager.wire import GrantId, Mode, Space, Token


class _Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of all records; no repr shows what is in one, as some hold a token."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class _Standing(_Record, frozen=True):
    """What every lease has; `full_ttl` is the longest it was ever promised for."""

    space: Space
    name: str
    label: str
    ticket: int
    mode: Mode
    grant_id: GrantId
    fence: int
    deadline: int
    full_ttl: int
    revoked: bool


class LeaseRecord(_Standing, frozen=True, tag="lease"):
    """A lease whose token is known; `ttl` is what a yielded place is granted with."""

    token: Token
    ttl: int


class AdoptedRecord(_Standing, frozen=True, tag="adopted"):
    """A lease that other nodes told of, and the digest of its token."""

    digest: str


class RevokedRecord(_Record, frozen=True, tag="revoked"):
    """A token whose lease was ended by force, until its ttl has passed."""

    digest: str
    deadline: int
    full_ttl: int


Record = LeaseRecord | AdoptedRecord | RevokedRecord

Numbered = tuple[int, Record | None]
"""What stands under a number now; None when nothing does any more."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of the table since the changes were taken last; `fence_floor` is its largest fence so far."""

    records: list[Numbered]
    fence_floor: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What a journal knew when it was opened."""

    records: list[tuple[int, Record]]
    fence_floor: int


class Adoption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A lease as one node tells another of it; `ttl` in microseconds is the longest it was ever promised for."""

    digest: str
    name: str
    label: str
    ticket: int
    mode: Mode
    fence: int
    ttl: int
    revoked: bool
