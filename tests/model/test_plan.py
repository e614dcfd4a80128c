"""Facts about the plan: it names every mutant there is, and no other; each has the bounds of a search that holds."""

from __future__ import annotations

import re

import pytest

from tests.model.checking import MODELS
from tests.model.plan import MUTANTS, SEARCHES, Search, chosen, groups, mutants_of

NAMES = sorted({search.model for search in SEARCHES})
VARIANTS = {"FENCES", "FORGETS", "FOREVER", "MINORITY"}
"""Macros that let more happen, and leave no rule out."""


def test_every_model_is_planned() -> None:
    assert {path.stem for path in MODELS.glob("*.pml")} == set(NAMES)


def switches(model: str) -> set[str]:
    """Return the macros that a model asks for and does not define itself."""
    text = "".join(path.read_text(encoding="utf-8") for path in MODELS.glob(f"{model}[._]*"))
    asked = re.findall(r"(?:#ifn?def |defined\()(\w+)", text)
    return set(asked) - set(re.findall(r"#define (\w+)", text)) - VARIANTS


@pytest.mark.parametrize("model", NAMES)
def test_every_mutant_of_a_model_is_planned_and_no_other(model: str) -> None:
    assert {mutant.label for mutant in mutants_of(model)} == switches(model)


@pytest.mark.parametrize("model", NAMES)
def test_a_model_has_at_least_two_mutants(model: str) -> None:
    assert len(mutants_of(model)) >= 2


def bounds(search: Search, *, without: str = "") -> tuple[object, ...]:
    """Return what spin and gcc are told, in which order does not matter, less one macro."""
    return search.model, {*search.defines} - {f"-D{without}"}, search.kind


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_within_the_bounds_of_a_mutant_its_model_is_searched_too(mutant: Search) -> None:
    without = bounds(mutant, without=mutant.label)
    assert [search.name for search in SEARCHES if bounds(search) == without] == [mutant.control]
    assert without != bounds(mutant)


def test_names_are_unique() -> None:
    names = [search.name for search in (*SEARCHES, *MUTANTS)]
    assert len(set(names)) == len(names)


def test_going_through_all_groups_makes_each_search_once() -> None:
    made = [search.name for group in groups() for search in group]
    assert sorted(made) == sorted(search.name for search in (*SEARCHES, *MUTANTS))


def test_one_search_of_each_model_and_all_mutants_come_first() -> None:
    first = [search for group in groups()[: len(NAMES)] for search in group]
    assert sorted(search.model for search in first if not search.is_mutant) == NAMES
    assert {search.name for search in first if search.is_mutant} == {mutant.name for mutant in MUTANTS}


def test_a_model_is_chosen_with_its_mutants() -> None:
    assert {search.model for search in chosen(["line"])} == {"line"}
    assert chosen(["line/NO_YIELD"]) == [search for search in MUTANTS if search.label == "NO_YIELD"]


def test_a_name_nobody_has_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no model or search lines: choose from .*line/NO_YIELD"):
        chosen(["lines"])
