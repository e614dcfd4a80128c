"""One node process with a short silence, and with a boot of its machine that can be feigned: settings of the tests.

    python -m tests.support.quick_node --cluster cluster.yaml --node-id node1 ...

takes the options of a node. The product has neither setting: a silence shorter than what coordinators first ask for
would let two hold one lock, so whoever starts such nodes scales their coordinators alike (`quick_coordinators`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from lockmanager.durations import microseconds
from lockmanager_node import boot, rejoining
from lockmanager_node.__main__ import main

SILENCE: Final = "TEST_NODE_SILENCE"
"""Variable: seconds of silence, and between two lines in the log that say why it lasts."""

BOOT_ID: Final = "TEST_NODE_BOOT_ID"
"""Variable: the file to read in place of the kernel's boot id."""


def run() -> int:
    """Run the node with what the variables say."""
    if seconds := os.environ.get(SILENCE):
        vars(rejoining).update(SILENCE=microseconds(float(seconds)), _REMINDER=float(seconds))
    if path := os.environ.get(BOOT_ID):
        vars(boot)["BOOT_ID"] = Path(path)
    return main()


if __name__ == "__main__":
    sys.exit(run())
