"""Each planted bug is found by the property that is said to find it."""

from __future__ import annotations

import pytest

from . import (  # noqa: F401 - what is imported is registered
    test_documents,
    test_hostile_nodes,
    test_http_bodies,
    test_http_targets,
    test_journals,
    test_reports,
    test_sessions,
    test_websockets,
)
from .planted import BUGS, Bug


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    assert bug.hunt(1)
