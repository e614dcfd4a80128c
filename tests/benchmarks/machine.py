"""What a reader must know about where and how a run was made; names neither the machine nor its paths."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

_SERVERS: Final = {
    "redis": ("redis-server", "--version"),
    "postgres": ("postgres", "--version"),
    "mariadb": ("mariadbd", "--version"),
    "etcd": ("etcd", "--version"),
}
_LIBRARIES: Final = ("aiohttp", "msgspec", "uvloop", "redis", "hiredis", "asyncpg", "mysqlclient", "grpcio")
_VERSION: Final = re.compile(r"\d+\.\d+(?:\.\d+)*")
_ROOT: Final = Path(__file__).parents[2]


def facts(module: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Return date, commit, command, and the versions of what took part; take it when the run begins."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "command": " ".join(["python -m", module, *arguments]),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_before": load(),
        "servers": {name: version for name, command in _SERVERS.items() if (version := _said_by(command))},
        "libraries": {name: version for name in _LIBRARIES if (version := _installed(name))},
    }


def load() -> list[float]:
    """Return the load average of the last 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def _commit() -> str:
    """Return the commit the code stands at, and whether the tree differs from it; "unknown" outside a checkout."""
    with suppress(OSError, subprocess.SubprocessError):
        commit = _output(["git", "-C", str(_ROOT), "rev-parse", "--short=12", "HEAD"])
        changed = _output(["git", "-C", str(_ROOT), "status", "--porcelain", "--untracked-files=no"])
        return f"{commit} with changes" if changed else commit
    return "unknown"


def _said_by(command: Sequence[str]) -> str | None:
    """Return the version a program tells of itself, or None when it is not installed."""
    program = shutil.which(command[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/bin")
    if program is None:
        return None
    with suppress(OSError, subprocess.SubprocessError):
        found = _VERSION.search(_output([program, *command[1:]]))
        return found.group() if found else None
    return None


def _installed(name: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return None


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def arguments() -> list[str]:
    """Return what the program was called with; whole paths are cut to their last part."""
    return [Path(word).name if word.startswith("/") else word for word in sys.argv[1:]]
