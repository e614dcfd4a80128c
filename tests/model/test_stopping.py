"""However a search is stopped, nothing of it goes on: each takes a core and gigabytes.

Tools that do nothing of the kind stand in for spin and gcc. What they build opens a pipe, which ends when it is gone.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model.checking import SearchFailed, check
from tests.model.plan import SEARCHES
from tests.model.tools import require_tools

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 20.0
"""Seconds that something is waited for which happens at once, or never."""
COMPILER = """#!/bin/sh
cat > pan <<'END'
#!/bin/sh
exec 3> '{pipe}'
echo begun >&3
exec sleep 60
END
chmod +x pan
"""


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Put the tools first in the path; yields the end of the pipe from which to read."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for name, script in {"spin": "#!/bin/sh\n", "gcc": COMPILER.format(pipe=path)}.items():
        (tmp_path / name).write_text(script, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    require_tools()
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield reader
    os.close(reader)


def said(pipe: int) -> bytes:
    """Return what comes next from the pipe; nothing when it has ended."""
    assert select.select([pipe], [], [], PATIENCE)[0], "the search goes on"
    return os.read(pipe, 100)


def test_a_search_that_takes_too_long_is_given_up_and_ended(pipe: int, tmp_path: Path) -> None:
    with (tmp_path / "pipe").open("wb"), pytest.raises(SearchFailed, match="line/faults: not done after 1 s"):
        check(SEARCHES[0], tmp_path, deadline=1)
    while said(pipe):
        pass


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_search_ends_with_whoever_made_it(pipe: int, stop: signal.Signals) -> None:
    command = ["env", "--default-signal=INT", sys.executable, "-m", "tests.model", SEARCHES[0].name]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL) as maker:
        assert said(pipe) == b"begun\n"
        maker.send_signal(stop)
        assert said(pipe) == b""
    assert maker.returncode != 0
