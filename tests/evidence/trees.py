"""Which state of the code evidence speaks of: a digest of the files as they lie here, and the commit they belong to.

The digest is of contents, so a commit that changes other files throws no evidence away.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path


@dataclass(frozen=True)
class State:
    """The covered files as they are now."""

    key: str
    commit: str
    changed: tuple[str, ...]
    """Covered files that differ from the commit."""


def state_of(root: Path, covers: tuple[str, ...]) -> State:
    """Read the covered files; raises RuntimeError where `root` is no git checkout with a commit."""
    digest = sha256()
    for name in sorted(set(_git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *covers))):
        path = root / name
        content = path.read_bytes() if path.is_file() else b"gone"
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    (commit,) = _git(root, "rev-parse", "--verify", "HEAD")
    return State(digest.hexdigest()[:16], commit, _changed(root, covers))


def _changed(root: Path, covers: tuple[str, ...]) -> tuple[str, ...]:
    lines = _git(root, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", *covers)
    return tuple(sorted(line[3:] for line in lines))


def _git(root: Path, *words: str) -> list[str]:
    """Run git apart from any repository the environment names, such as that of a hook this runs in."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(root), *words]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise RuntimeError("evidence is kept per state of the code, which needs git: install it") from None
    except subprocess.CalledProcessError as failed:
        raise RuntimeError(f"{root}: git {words[0]} failed: {failed.stderr.strip()}") from None
    return [piece for piece in done.stdout.replace("\n", "\0").split("\0") if piece]
