"""What may happen to a node: sessions come and go and say anything, time passes, an operator revokes.

Tokens, names and grants come from a few, so that what is said often concerns somebody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from lockmanager.durations import MICROSECONDS
from lockmanager.wire import Acquire, Raise, Release, Renew, Space, UpMessage, Yield
from lockmanager_node.limits import Limits
from lockmanager_node.line import Key
from lockmanager_node.records import Adoption
from tests.support.table_cases import INCARNATION, WALL, token_of

from .frames import modes, spaces, wild_grant_ids, wild_hellos
from .nonsense import LONG_TEXTS, weighted, wild_integers, wild_texts

LIMITS: Final = Limits(leases=10, waiters=3)
DAY: Final = 24 * 3600 * MICROSECONDS
TOKENS: Final = [token_of(f"p{number}") for number in range(8)]
NAMES: Final = ["a", "b", "", LONG_TEXTS[0], LONG_TEXTS[1]]
PEOPLE: Final = ["s1", "s2", "s3"]

keys = st.tuples(st.sampled_from(list(Space)), st.sampled_from(["a", "b"]))

_known, _few = st.sampled_from(TOKENS), st.sampled_from(["a", "b"])
_tickets = st.integers(WALL - 9, WALL) | st.integers(1, 9)
_ttls = st.sampled_from([100_000, MICROSECONDS, 10 * MICROSECONDS, LIMITS.max_ttl])
_grants = st.tuples(st.just(INCARNATION), st.integers(1, 12))
_fences = st.integers(WALL - 9, WALL + 9) | st.integers(1, 9)
_spaces = st.sampled_from([Space.QUORUM, Space.QUORUM, Space.EFFICIENCY])

_ACQUIRE: Final[dict[str, SearchStrategy[Any]]] = {
    "token": _known,
    "space": _spaces,
    "name": _few,
    "ticket": _tickets,
    "ttl": _ttls,
    "mode": modes,
    "wait": st.booleans(),
    "label": _few,
}

tame_messages: SearchStrategy[UpMessage] = weighted(
    (4, st.builds(Acquire, **_ACQUIRE)),
    (3, st.builds(Acquire, _known, st.just(Space.QUORUM), st.just("a"), _tickets, _ttls, modes, st.just(True), _few)),
    (2, st.builds(Yield, _known, _grants)),
    (2, st.builds(Raise, _known, _fences)),
    (1, st.builds(Renew, _known, _ttls)),
    (1, st.builds(Release, _known)),
)
"""What coordinators say."""

tokens: SearchStrategy[Any] = _known | wild_texts
tickets = _tickets | st.sampled_from([WALL + DAY, WALL + DAY + 1]) | wild_integers
fences = _fences | st.sampled_from([WALL + 2 * DAY, WALL + 2 * DAY + 1]) | wild_integers
ttls = _ttls | wild_integers
_names = _few | st.sampled_from(NAMES) | wild_texts

wild_messages: SearchStrategy[UpMessage] = st.one_of(
    st.builds(Acquire, tokens, spaces, _names, tickets, ttls, modes, wait=st.booleans(), label=wild_texts),
    st.builds(Yield, tokens, _grants | wild_grant_ids),
    st.builds(Raise, tokens, fences),
    st.builds(Renew, tokens, ttls),
    st.builds(Release, tokens),
    wild_hellos,
)

_WILD: Final[dict[str, SearchStrategy[Any]]] = {
    "token": wild_texts,
    "space": spaces,
    "name": st.sampled_from(NAMES) | wild_texts,
    "ticket": tickets,
    "ttl": wild_integers,
    "label": wild_texts,
}

odd_messages: SearchStrategy[UpMessage] = st.one_of(
    *[st.builds(Acquire, **_ACQUIRE | {name: wild}) for name, wild in _WILD.items()],
    st.builds(Yield, _known, wild_grant_ids),
    st.builds(Raise, _known, fences),
    st.builds(Renew, _known, wild_integers),
)
"""What coordinators say, but for one field."""

messages = weighted((7, tame_messages), (2, odd_messages), (1, wild_messages))


@dataclass(frozen=True)
class Say:
    """A session sends one frame; one that is not open yet opens, with the key, first."""

    who: str
    key: str | None
    sent: int
    messages: list[UpMessage]


@dataclass(frozen=True)
class Connect:
    """A session comes (again)."""

    who: str
    key: str | None


@dataclass(frozen=True)
class Leave:
    """The connection of a session breaks."""

    who: str


@dataclass(frozen=True)
class Pass:
    """Time passes, in microseconds."""

    time: int


@dataclass(frozen=True)
class Revoke:
    """An operator revokes."""

    key: Key
    force: bool


@dataclass(frozen=True)
class Call:
    """An HTTP client renews or releases, whatever token it has."""

    request: Renew | Release


@dataclass(frozen=True)
class Serve:
    """A silent node learns what its peers hold, and serves from now on."""

    adoptions: list[Adoption]
    fence_floor: int


Step = Say | Connect | Leave | Pass | Revoke | Call | Serve

adoptions = st.builds(
    Adoption,
    digest=st.sampled_from(["0" * 64, "1" * 64]),
    name=st.sampled_from(["a", "b"]),
    label=st.just("a holder elsewhere"),
    ticket=st.integers(WALL - 9, WALL),
    mode=modes,
    fence=st.integers(WALL - 9, WALL),
    ttl=st.sampled_from([MICROSECONDS, 10 * MICROSECONDS]),
    revoked=st.booleans(),
)
_people, _secrets = st.sampled_from(PEOPLE), st.sampled_from([*[None] * 7, "another key"])
_says = st.builds(Say, _people, _secrets, wild_integers, st.lists(messages, max_size=8))

_pauses = st.sampled_from([1, 100_000, MICROSECONDS, 4 * MICROSECONDS, 10 * MICROSECONDS, 61 * MICROSECONDS])

steps: SearchStrategy[Step] = weighted(
    (12, _says),
    (1, st.builds(Connect, _people, _secrets)),
    (1, st.builds(Leave, _people)),
    (2, st.builds(Pass, _pauses)),
    (1, st.builds(Revoke, keys, st.booleans())),
    (1, st.builds(Call, st.builds(Renew, tokens, ttls) | st.builds(Release, tokens))),
    (1, st.builds(Serve, st.lists(adoptions, max_size=2, unique_by=lambda one: one.digest), st.integers(0, WALL))),
)
