"""Which searches are made: models within their bounds, and their mutants: each leaves one rule out and must fail.

A mutant has the bounds of a search, its control, and differs from it in that rule alone. The control finds nothing, so
what the mutant finds is due to the rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

Size = Literal["short", "full"]
SIZES: Final[tuple[Size, ...]] = get_args(Size)
DEPTH: Final = 400_000
"""Steps of a run that are followed: more than any run has within these bounds."""


@dataclass(frozen=True)
class Kind:
    """What a search looks for: options of the compiler and of the search itself."""

    compile: tuple[str, ...]
    search: tuple[str, ...] = ()


SAFETY: Final = Kind(("-DSAFETY",))
ENDLESS: Final = Kind(("-DNP",), ("-l",))
"""Looks for runs without an end."""
FAIR: Final = Kind(("-DNFAIR=5",), ("-a", "-f"))
"""Looks for runs, under weak fairness, in which the promise is not kept."""


@dataclass(frozen=True)
class Search:
    """One search of one model."""

    model: str
    label: str
    """The bounds in one word; of a mutant, the macro that leaves the rule out."""
    macros: str = ""
    what: str = ""
    """The bounds in words."""
    kind: Kind = SAFETY
    violates: str = ""
    """A pattern of what the mutant must violate, in the words of spin; of a search without mutant, nothing."""
    short: bool = False
    control: str = ""
    """Of a mutant, the name of the search that it leaves the rule out of."""

    @property
    def name(self) -> str:
        """What it is called in the report and on the command line."""
        return f"{self.model}/{self.label}"

    @property
    def is_mutant(self) -> bool:
        """Whether a rule is left out, so that it must fail."""
        return bool(self.violates)

    @property
    def optimize(self) -> str:
        """How far the compiler goes: for a short search it would take longer than the search."""
        return "-O0" if self.short else "-O2"

    @property
    def defines(self) -> list[str]:
        """The macros as options of spin."""
        return [f"-D{macro}" for macro in [*self.macros.split(), *([self.label] if self.is_mutant else [])]]


_FEW: Final = "TTL=2 FAULTS=1 ANSWERS=1"
_LONGEST: Final = "FIRST=1 LONG=4"
_MORE: Final = "TTL=2 FAULTS=0 ANSWERS=1 STARTS=3"

SEARCHES: Final = (
    Search("line", "faults", "NODES=2 FAULTS=1", "2 nodes, 2 clients, 1 fault", short=True),
    Search("line", "minority", "NODES=2 MINORITY", "2 nodes, 2 clients, one cut off from a node for ever", short=True),
    Search("line", "ends", "NODES=2 FAULTS=1", "2 nodes, 2 clients, 1 fault: no endless run", ENDLESS, short=True),
    Search(
        "line",
        "promise",
        "NODES=2 MINORITY FOREVER",
        "2 nodes, 2 clients for ever, one cut off from a node: the other is granted under weak fairness",
        FAIR,
        short=True,
    ),
    Search(
        "line",
        "readers",
        "NODES=1 CLIENTS=3 READERS=2 FOREVER",
        "1 node, a writer and 2 readers for ever: the writer is granted under weak fairness",
        FAIR,
        short=True,
    ),
    Search("line", "three", "FAULTS=1", "3 nodes, 2 clients, 1 fault"),
    Search("line", "fair", "FOREVER", "3 nodes, 2 clients for ever: granted under weak fairness", FAIR),
    Search("line", "shared", "NODES=2 CLIENTS=3 READERS=2", "2 nodes, a writer and 2 readers"),
    Search("line", "faulty", "NODES=2 FAULTS=2", "2 nodes, 2 clients, 2 faults"),
    Search("fences", "calm", "FAULTS=0", "3 nodes, 3 acquisitions of either mode, 2 tickets, no fault"),
    Search("fences", "even", "FAULTS=1 YOUNG=1", "3 nodes, 3 acquisitions of either mode, equal tickets, 1 fault"),
    Search(
        "fences", "faults", "ACQUISITIONS=2 FAULTS=3", "3 nodes, 2 acquisitions of either mode, 2 tickets, 3 faults"
    ),
    Search(
        "quorum_lease",
        "fault",
        _FEW,
        "3 nodes, 2 clients, 2 acquisitions, ttl 2 ticks, 1 answer under way, 1 broken connection or restart",
    ),
    Search(
        "quorum_lease",
        "forgets",
        f"{_FEW} FORGETS",
        "3 nodes, 2 clients, 2 acquisitions, ttl 2 ticks, 1 answer under way, 1 broken connection or restart without "
        "journal, after which the node is silent",
    ),
    Search(
        "quorum_lease",
        "again",
        _MORE,
        "3 nodes, 2 clients, 3 acquisitions, ttl 2 ticks, 1 answer under way, no fault",
    ),
    Search("journal", "kills", "KILLS=3 FENCES=5", "1 node, 3 acquisitions, ttl 2 ticks, 5 fences, 3 kills"),
    Search("journal", "ttl", "TTL=3 FENCES=5", "1 node, 3 acquisitions, ttl 3 ticks, 5 fences, 2 kills"),
    Search("rejoin", "first", "LONGS=0", "3 nodes, 2 clients, ttl 2 ticks, 1 lost disk, 1 answer under way"),
    Search("rejoin", "long", "", "3 nodes, 2 clients, ttl 2 ticks, of one 4 ticks, 1 lost disk, 1 answer under way"),
    Search("rejoin", "longest", _LONGEST, "3 nodes, 2 clients, ttl 1 tick, of one 4 ticks, 1 lost disk"),
    Search("rejoin", "twice", "LONGS=0 LOSSES=2", "3 nodes, 2 clients, ttl 2 ticks, 2 lost disks, one after the other"),
    Search("rejoin", "fences", "LONGS=0 FENCES=2", "3 nodes, 2 clients, ttl 2 ticks, 2 fences, 1 lost disk"),
)

_STANDS: Final = r"assertion violated .*counts\["
"""A holder counts a grant that no longer stands."""
_REST: Final = r"assertion violated .*leases\["
"""All comes to rest, and somebody still waits or something is still held."""
_EXCLUSION: Final = r"assertion violated 0$"
"""Two are valid holders at once."""
_FENCE: Final = r"assertion violated \(fence"
"""A fence goes back."""
_RISES: Final = r"assertion violated \(top>last_fence\)"
"""A holder's fence is not larger than that of the one before."""
_STARVES: Final = r"acceptance cycle$"
"""Somebody who waits is never granted."""
_ENDLESS: Final = r"non-progress cycle$"
"""A run has no end."""


_CONTROLS: Final = {search.name: search for search in SEARCHES}


def _mutant(control: str, macro: str, violates: str) -> Search:
    return replace(_CONTROLS[control], label=macro, violates=violates, control=control)


MUTANTS: Final = (
    _mutant("line/faults", "NO_YIELD", _REST),
    _mutant("line/minority", "STAYS_IN_LINE", _REST),
    _mutant("line/faults", "LATE_YIELD_UNANSWERED", _REST),
    _mutant("line/faults", "INQUIRE_ONCE", _REST),
    _mutant("line/faults", "GRANT_ID_IGNORED", _STANDS),
    _mutant("line/faults", "YIELDED_GRANT_COUNTS", _STANDS),
    _mutant("line/faults", "YIELD_WHILE_HELD", _EXCLUSION),
    _mutant("line/ends", "LAST_COME_FIRST", _ENDLESS),
    _mutant("line/readers", "READERS_BARGE", _STARVES),
    _mutant("fences/calm", "FENCE_IS_TICKET", _FENCE),
    _mutant("fences/calm", "NO_RAISE", _FENCE),
    _mutant("fences/calm", "RAISE_NOT_AWAITED", _FENCE),
    _mutant("fences/calm", "MARKS_NOT_RAISED", _FENCE),
    _mutant("fences/calm", "EXCLUSIVE_MARK_NOT_RAISED", _FENCE),
    _mutant("fences/calm", "FLOOR_FORGOTTEN", _FENCE),
    _mutant("quorum_lease/fault", "MAJORITY_OFF_BY_ONE", _EXCLUSION),
    _mutant("quorum_lease/fault", "NO_DRIFT", _EXCLUSION),
    _mutant("quorum_lease/fault", "VALIDITY_REVIVES", _EXCLUSION),
    _mutant("quorum_lease/fault", "BOUND_FROM_RECEIPT", _EXCLUSION),
    _mutant("quorum_lease/fault", "ECHO_WHEN_LEAVING", _EXCLUSION),
    _mutant("quorum_lease/forgets", "NO_SILENCE", _EXCLUSION),
    _mutant("quorum_lease/again", "TOKEN_NOT_COMPARED", _EXCLUSION),
    _mutant("quorum_lease/fault", "RESENT_MOVES_BOUND", _EXCLUSION),
    _mutant("journal/kills", "REPLY_BEFORE_SYNC", _FENCE),
    _mutant("journal/kills", "ANSWERS_OF_NEXT_LEAVE", _FENCE),
    _mutant("journal/kills", "MARKS_NOT_IN_JOURNAL", _FENCE),
    _mutant("journal/kills", "RENEWAL_NOT_SYNCED", _EXCLUSION),
    _mutant("journal/kills", "DEADLINES_OF_ANOTHER_BOOT", _EXCLUSION),
    _mutant("rejoin/first", "NO_SILENCE", _EXCLUSION),
    _mutant("rejoin/first", "STALE_GRANT_STAYS", _EXCLUSION),
    _mutant("rejoin/longest", "ONE_REPORT", _EXCLUSION),
    _mutant("rejoin/long", "READ_ONCE", _EXCLUSION),
    _mutant("rejoin/longest", "NO_ADOPTION", _EXCLUSION),
    _mutant("rejoin/longest", "LONG_AT_ONCE", _EXCLUSION),
    _mutant("rejoin/longest", "SHORT_GRANT_COUNTS", _EXCLUSION),
    _mutant("rejoin/fences", "FLOOR_FORGOTTEN", _RISES),
)


def groups() -> list[list[Search]]:
    """Return the searches in the portions that slices make, one of each model first, and its mutants with that."""
    firsts = {search.model: search for search in reversed(SEARCHES)}
    ring = sorted(SEARCHES, key=lambda search: firsts[search.model] is not search)
    return [[search, *(mutants_of(search.model) if firsts[search.model] is search else ())] for search in ring]


def mutants_of(model: str) -> list[Search]:
    """Return the mutants of one model."""
    return [mutant for mutant in MUTANTS if mutant.model == model]


def chosen(names: Iterable[str] = (), size: Size = "full") -> list[Search]:
    """Return searches by name or by model, all of a size when none is named; raises ValueError for an unknown name."""
    every = [*SEARCHES, *MUTANTS]
    wanted = list(names)
    known = {name for search in every for name in (search.name, search.model)}
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(f"no model or search {', '.join(unknown)}: choose from {', '.join(sorted(known))}")
    if wanted:
        return [search for search in every if search.name in wanted or search.model in wanted]
    return [search for search in every if search.short or size == "full"]
