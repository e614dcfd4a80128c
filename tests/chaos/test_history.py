"""What clients note survives them, and is read back in order."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.chaos.history import BrokenHistory, Event, Recorder, now, read_history


def _event(at: int, client: str = "alice", note: str = "") -> Event:
    return Event(at=at, client=client, op=at, kind="acquire", phase="begin", lock="orders", note=note)


def _record(directory: Path, name: str, *events: Event) -> Path:
    with Recorder(directory, name) as recorder:
        for event in events:
            recorder.append(event)
    return recorder.path


def test_events_of_all_processes_are_merged_in_the_order_in_which_they_happened(tmp_path: Path) -> None:
    _record(tmp_path, "1", _event(1), _event(4))
    _record(tmp_path, "2", _event(2, "bob"), _event(3, "bob"))
    history = read_history(tmp_path)
    assert [event.at for event in history.events] == [1, 2, 3, 4]
    assert (history.files, history.torn) == (2, 0)


def test_everything_that_an_event_says_is_read_back(tmp_path: Path) -> None:
    event = Event(
        at=now(),
        client="alice",
        op=7,
        kind="acquire",
        phase="ok",
        lock="bestellungen/ä",
        mode="shared",
        fence=2**53,
        value=3,
        until=now(),
        note='late\n"why"',
    )
    _record(tmp_path, "1", event)
    assert read_history(tmp_path).events == [event]


def test_events_of_one_instant_keep_the_order_of_their_file(tmp_path: Path) -> None:
    _record(tmp_path, "1", _event(5, note="first"), _event(5, note="second"))
    assert [event.note for event in read_history(tmp_path).events] == ["first", "second"]


def test_each_event_can_be_read_before_the_next_one_is_noted(tmp_path: Path) -> None:
    with Recorder(tmp_path, "1") as recorder:
        recorder.append(_event(1))
        assert len(read_history(tmp_path).events) == 1


@pytest.mark.parametrize("kept", range(1, 40))
def test_a_torn_last_line_is_counted_and_its_clients_are_vouched_for_up_to_the_line_before(
    tmp_path: Path, kept: int
) -> None:
    path = _record(tmp_path, "1", _event(1), _event(2, "bob"), _event(3, "ä"))
    _record(tmp_path, "2", _event(9, "carol"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:kept])
    history = read_history(tmp_path)
    assert [event.at for event in history.events] == [1, 2, 9]
    assert (history.torn, history.cut) == (1, {"alice": 2, "bob": 2})


def test_a_last_line_that_only_lacks_its_end_is_whole(tmp_path: Path) -> None:
    path = _record(tmp_path, "1", _event(1), _event(2))
    path.write_bytes(path.read_bytes().rstrip())
    history = read_history(tmp_path)
    assert ([event.at for event in history.events], history.torn, history.cut) == ([1, 2], 0, {})


def test_a_file_with_nothing_but_a_torn_line_is_counted(tmp_path: Path) -> None:
    path = _record(tmp_path, "1", _event(1))
    path.write_bytes(path.read_bytes()[:10])
    history = read_history(tmp_path)
    assert (history.events, history.torn, history.cut) == ([], 1, {})


@pytest.mark.parametrize("line", [b"", b'{"at": 2', b'{"at": 2, "unknown": 3}', b"\xff\xfe", b"\x00" * 8])
def test_a_torn_line_anywhere_else_is_an_error_that_names_it(tmp_path: Path, line: bytes) -> None:
    path = _record(tmp_path, "1", _event(1), _event(3))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + line + b"\n" + lines[1])
    with pytest.raises(BrokenHistory, match=f"line 2 of {path}"):
        read_history(tmp_path)


def test_a_directory_without_any_history_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BrokenHistory, match="did the clients start"):
        read_history(tmp_path)


def test_a_name_can_be_used_once(tmp_path: Path) -> None:
    _record(tmp_path, "1", _event(1))
    with pytest.raises(FileExistsError):
        Recorder(tmp_path, "1")


def test_an_event_that_could_not_be_written_whole_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, data: bytes) -> int:
            return len(data) - 1

    with Recorder(tmp_path, "1") as recorder, monkeypatch.context() as patch:
        patch.setattr(recorder, "_file", Full())
        with pytest.raises(OSError, match="disk full"):
            recorder.append(_event(1))


def test_the_clock_is_the_same_in_all_processes() -> None:
    before = now()
    asked = [sys.executable, "-c", "import time; print(time.clock_gettime_ns(time.CLOCK_MONOTONIC))"]
    there = int(subprocess.run(asked, capture_output=True, check=True).stdout)
    assert before < there < now()


_ENDLESS = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from tests.chaos.history import Event, Recorder, now
    with Recorder(Path(sys.argv[1]), "endless") as recorder:
        for op in range(10**9):
            event = Event(at=now(), client="endless", op=op, kind="acquire", phase="begin", lock="orders")
            recorder.append(event)
            if op == 100:
                print("many", flush=True)
    """
)


def test_a_killed_process_loses_nothing_but_the_line_it_was_writing(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    asked = [sys.executable, "-c", _ENDLESS, str(tmp_path)]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"many\n"
        process.kill()
    events = read_history(tmp_path).events
    assert [event.op for event in events] == list(range(len(events)))
    assert len(events) > 100
