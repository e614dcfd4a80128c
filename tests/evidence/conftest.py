"""A repository with two fake parts, for the tests of the orchestrator."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evidence.fake import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)
