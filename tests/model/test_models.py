"""The model of the line: it holds within small bounds, and each mutant of it fails as it must."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.checking import check, complaints
from tests.model.plan import Search, chosen
from tests.model.tools import require_tools


@pytest.mark.parametrize("search", chosen(size="short"), ids=lambda search: search.name)
def test_the_model_holds_and_every_mutant_of_it_fails(search: Search, tmp_path: Path) -> None:
    require_tools()
    found = check(search, tmp_path)
    assert complaints(search, found) == []
    assert found.states > 0
