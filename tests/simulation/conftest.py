"""Simulations run in virtual time: hours pass in milliseconds, and nothing depends on how busy the machine is."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/simulation" in item.path.as_posix():
            item.add_marker(pytest.mark.looptime)
