"""Who may use a node: every way to show a key, and that none of it is ever shown again."""

from __future__ import annotations

from hashlib import sha256

import pytest

from lockmanager.topology import ApiKey, Classic, Cluster, NodeAddress
from lockmanager_node.access import Access, Outcome, Verdict

KEYS = {"web": "swordfish", "batch": "pa ss phrase", "foreign": "schlüssel"}
CLASSIC = "opensesame"


def hashed(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def access(*, keys: bool = True, classic: bool = True) -> Access:
    api_keys = tuple(ApiKey(key_id, hashed(key)) for key_id, key in KEYS.items()) if keys else ()
    door = Classic(key_sha256=hashed(CLASSIC) if classic else None)
    return Access(Cluster(name="x", nodes=(NodeAddress("a", "http://h"),), api_keys=api_keys, classic=door))


@pytest.mark.parametrize("header", [None, "", "Bearer swordfish", "Bearer guess", "Basic x"])
def test_without_api_keys_everyone_may_come_in(header: str | None) -> None:
    verdict = access(keys=False).allows(header)
    assert (verdict, verdict.allowed) == (Verdict(Outcome.OPEN), True)


@pytest.mark.parametrize("key_id", KEYS)
def test_each_known_key_is_allowed_and_named_by_its_id(key_id: str) -> None:
    verdict = access().allows(f"Bearer {KEYS[key_id]}")
    assert (verdict, verdict.allowed) == (Verdict(Outcome.KNOWN, key_id), True)


@pytest.mark.parametrize("header", ["bearer swordfish", "BEARER  swordfish", " Bearer swordfish "])
def test_the_scheme_may_be_written_in_any_case(header: str) -> None:
    assert access().allows(header) == Verdict(Outcome.KNOWN, "web")


@pytest.mark.parametrize("header", [None, "", " ", "Bearer", "Bearer ", "Basic c3dvcmRmaXNo", "swordfish"])
def test_no_bearer_key_is_a_missing_key(header: str | None) -> None:
    verdict = access().allows(header)
    assert (verdict, verdict.allowed) == (Verdict(Outcome.MISSING), False)


@pytest.mark.parametrize(
    "key", ["guess", "Swordfish", "swordfis", "swordfishy", hashed("swordfish"), CLASSIC, "\ud800", "a\x00"]
)
def test_any_other_key_is_wrong(key: str) -> None:
    verdict = access().allows(f"Bearer {key}")
    assert (verdict, verdict.allowed) == (Verdict(Outcome.WRONG), False)


@pytest.mark.parametrize(
    ("auth", "outcome"),
    [
        (CLASSIC, Outcome.KNOWN),
        (None, Outcome.MISSING),
        ("", Outcome.MISSING),
        ("guess", Outcome.WRONG),
        ("swordfish", Outcome.WRONG),
        (hashed(CLASSIC), Outcome.WRONG),
        ("\ud800", Outcome.WRONG),
    ],
)
def test_the_classic_door_has_a_key_of_its_own(auth: str | None, outcome: Outcome) -> None:
    verdict = access().classic_allows(auth)
    assert (verdict, verdict.allowed) == (Verdict(outcome), outcome is Outcome.KNOWN)


@pytest.mark.parametrize("auth", [None, "", "guess"])
def test_the_classic_door_is_open_without_a_key(auth: str | None) -> None:
    assert access(classic=False).classic_allows(auth) == Verdict(Outcome.OPEN)


def test_no_repr_shows_a_key_or_a_hash() -> None:
    door = access()
    shown = repr((door, door.allows("Bearer swordfish"), door.allows("Bearer guess"), door.classic_allows(CLASSIC)))
    for secret in (*KEYS.values(), CLASSIC, "guess", *map(hashed, KEYS.values()), hashed(CLASSIC)):
        assert secret not in shown
