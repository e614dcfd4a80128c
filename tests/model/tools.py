"""What a test that searches models does where one of its tools is not installed."""

from __future__ import annotations

import os
from typing import Final

import pytest

from tests.model.checking import REMEDY, missing

REQUIRED: Final = "LOCKMANAGER_REQUIRE_MODELS"
"""Variable: 1 makes it a failure that such a tool is missing."""


def require_tools() -> None:
    """Skip the test where a tool of the search is not installed, unless they are required."""
    if absent := " and ".join(missing()):
        assert os.environ.get(REQUIRED) != "1", f"missing: {absent}, and {REQUIRED} is 1"
        pytest.skip(f"missing: {absent}; {REMEDY}")
