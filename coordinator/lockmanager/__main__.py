"""`python -m lockmanager`: the command line, as the console script `lockmanager`."""

from __future__ import annotations

import sys

from lockmanager.cli import main

if __name__ == "__main__":
    sys.exit(main())
