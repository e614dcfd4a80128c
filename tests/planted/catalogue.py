"""The planted bugs: what each one leaves out, what it would cost a user, and which checks must catch it.

The list itself is `catalogue.yaml`, in the order of the patches; this module reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from .planting import Check

HERE: Final = Path(__file__).parent
PATCHES: Final = HERE / "patches"
KINDS: Final = ("unit", "schedule", "random", "integration", "simulation")
_TIME_LIMIT: Final = {"unit": 60.0, "schedule": 120.0, "random": 240.0, "integration": 120.0, "simulation": 240.0}


class Bug(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One bug. `harm` is what goes wrong for a user; `hangs` means that a check may catch it by running out of time.

    `unit` tests are examples. `schedule` ones let clients and nodes meet in virtual time, in a course of events that
    somebody thought of. `random` ones draw what happens. `integration` ones start nodes. `simulation` is a range of
    seeds in which the simulation meets the bug.
    """

    patch: str
    bug: str
    harm: str
    unit: tuple[str, ...] = ()
    schedule: tuple[str, ...] = ()
    random: tuple[str, ...] = ()
    integration: tuple[str, ...] = ()
    simulation: str = ""
    hangs: bool = False

    @property
    def file(self) -> Path:
        """The patch that plants it."""
        return PATCHES / f"{self.patch}.patch"

    def checks(self) -> list[Check]:
        """Return what must catch it, one check of each kind, quick ones first."""
        tests = {
            "unit": self.unit,
            "schedule": self.schedule,
            "random": self.random,
            "integration": self.integration,
        }
        checks = [Check(kind, named, _TIME_LIMIT[kind]) for kind, named in tests.items() if named]
        return [*checks, simulation(self.simulation)] if self.simulation else checks


def simulation(seeds: str) -> Check:
    """Return the check that runs the simulation over a range of seeds, up to the first violation."""
    arguments = ("tests.simulation", "--seeds", seeds, "--until-violation")
    return Check("simulation", arguments, _TIME_LIMIT["simulation"])


def catalogue() -> list[Bug]:
    """Read the list; raises msgspec.ValidationError naming what is wrong in it."""
    return msgspec.yaml.decode((HERE / "catalogue.yaml").read_bytes(), type=list[Bug])
