"""The command line: `lockmanager up | node | run | status | locks | bench | demo`. It needs the extra `cli`."""

from __future__ import annotations

import sys

from .exits import Exit

_EXTRA = ("click", "rich")


def main() -> int:
    """Run the command of this process's arguments; returns its exit status."""
    try:
        from .app import app

        return app.run()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        print(f"lockmanager: the command line needs {missing}: install lockmanager[cli]", file=sys.stderr)
        return Exit.CONFIG
