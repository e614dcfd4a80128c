"""`lockmanager run` as a real process: statuses, environment, signals, and what it leaves behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lockmanager.cli.app import app
from lockmanager.cli.child import Child
from lockmanager.testing import LocalCluster
from lockmanager.topology import render_yaml
from tests.support.cli import PROGRAM, Ending, environment, eventually, is_alive, lockmanager, start, text_of

pytestmark = pytest.mark.processes

HOLD = ("sh", "-c", "echo held; exec sleep 60")


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A cluster of three nodes for all tests of this module; each test uses a lock name of its own."""
    local = LocalCluster(3)
    asyncio.run(local.__aenter__())
    yield local
    asyncio.run(local.__aexit__(None, None, None))


@pytest.fixture
def config(cluster: LocalCluster) -> str:
    return str(cluster.config_path)


def run(config: str, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return lockmanager("run", name, "--config", config, *arguments)


def failed(config: str, name: str, *arguments: str) -> Result:
    """Run in this process what is not expected to start its command: that is faster."""
    result = CliRunner().invoke(app, ["run", name, "--config", config, *arguments, "--", "false"])
    assert result.stderr.startswith("lockmanager: ")
    return result


def standing(config: str, name: str) -> tuple[int, int]:
    """Return how many hold the lock and how many wait for it."""
    shown = CliRunner().invoke(app, ["locks", "--config", config, "--prefix", name, "--json"])
    locks = json.loads(shown.stdout)["locks"]
    return sum(len(lock["holders"]) for lock in locks), sum(lock["waiting"] for lock in locks)


def test_a_stop_is_listened_for_before_the_command_starts(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bool] = []

    class Watched(Child):
        def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
            numbers = (signal.SIGTSTP, signal.SIGCONT)
            heard.extend(signal.getsignal(number) is not signal.SIG_DFL for number in numbers)
            super().__init__(command, environment)

    monkeypatch.setattr("lockmanager.cli.run.Child", Watched)
    assert CliRunner().invoke(app, ["run", "listens", "--config", config, "--", "true"]).exit_code == 0
    assert heard == [True, True]


def test_the_command_knows_its_lock_and_its_fence_which_rises(cluster: LocalCluster, config: str) -> None:
    show = ("--", "sh", "-c", 'echo "$LOCKMANAGER_NAME $LOCKMANAGER_FENCE"')
    from_file = lockmanager("run", "orders/42", *show, LOCKMANAGER_CLUSTER=config).stdout.split()
    from_node = lockmanager("run", "orders/42", "--url", cluster.urls["node2"], *show).stdout.split()
    assert from_file[0] == from_node[0] == "orders/42"
    assert 0 < int(from_file[1]) < int(from_node[1])


def test_stdin_stdout_stderr_and_arguments_pass_through_untouched(config: str) -> None:
    script = 'cat; echo "$1" >&2'
    result = lockmanager("run", "pass", "--config", config, "--", "sh", "-c", script, "sh", "--ttl=x  y", stdin="in\n")
    assert (result.stdout, result.stderr, result.returncode) == ("in\n", "--ttl=x  y\n", 0)


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -KILL $$", 137)])
def test_the_command_s_own_status_is_passed_on(config: str, script: str, status: int) -> None:
    assert run(config, "status", "--", "sh", "-c", script).returncode == status


def test_a_command_that_does_not_exist_is_127_and_leaves_the_lock_free(config: str) -> None:
    result = run(config, "missing", "--", "no-such-command")
    assert result.returncode == 127
    assert result.stderr == "lockmanager: cannot run no-such-command: No such file or directory\n"
    assert standing(config, "missing") == (0, 0)


def test_a_command_that_cannot_be_executed_is_126(config: str) -> None:
    assert run(config, "not executable", "--", config).returncode == 126


def test_a_script_whose_interpreter_is_missing_is_126(config: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    assert run(config, "no interpreter", "--", str(script)).returncode == 126


@pytest.mark.parametrize(
    ("option", "value"), [("--ttl", "0"), ("--ttl", "nan"), ("--wait", "-1"), ("--label", "x" * 129)]
)
def test_a_value_outside_the_limits_is_64_and_named(config: str, option: str, value: str) -> None:
    result = failed(config, "limits", option, value)
    assert result.exit_code == 64
    assert option.removeprefix("--") in result.stderr


def test_another_cluster_s_description_is_bad_configuration(cluster: LocalCluster, tmp_path: Path) -> None:
    other = tmp_path / "cluster.yaml"
    other.write_text(render_yaml(cluster.cluster) + "epoch: 2\n")
    result = failed(str(other), "mismatch", "--wait", "5")
    assert result.exit_code == 78
    assert "epoch" in result.stderr


def test_a_held_lock_is_75_for_a_try_and_after_the_wait_and_free_again_when_the_command_ends(config: str) -> None:
    with Ending(start("run", "busy", "--config", config, "--label", "the holder", "--", *HOLD)) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for wait in ("0", "0.2"):
            result = failed(config, "busy", "--wait", wait)
            assert result.exit_code == 75
            assert "'the holder'" in result.stderr
        holder.terminate()
        assert holder.wait(10) == 128 + signal.SIGTERM
        assert standing(config, "busy") == (0, 0)


def test_readers_hold_together_and_a_writer_does_not(config: str) -> None:
    with Ending(start("run", "shared", "--shared", "--config", config, "--", *HOLD)) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "held\n"
        assert run(config, "shared", "--shared", "--wait", "0", "--", "true").returncode == 0
        assert failed(config, "shared", "--wait", "0").exit_code == 75


def test_an_efficiency_lock_excludes_another_and_not_the_quorum_lock(config: str) -> None:
    with Ending(start("run", "cheap", "--efficiency", "--config", config, "--", *HOLD)) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert failed(config, "cheap", "--efficiency", "--wait", "0").exit_code == 75
        assert run(config, "cheap", "--wait", "0", "--", "true").returncode == 0


def test_signals_reach_the_command_again_and_again(config: str) -> None:
    names = ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"]
    traps = "".join(f'trap "echo got {name}" {name}; ' for name in names)
    script = f"{traps} echo ready; while :; do sleep 0.02; done"
    command = ("run", "signals", "--config", config, "--", "sh", "-c", script)
    with Ending(start(*command)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for name in names * 2:
            process.send_signal(signal.Signals[f"SIG{name}"])
            assert process.stdout.readline() == f"got {name}\n"
        assert process.poll() is None


def test_a_signal_that_was_ignored_when_we_started_stays_ignored(config: str) -> None:
    command = ("run", "nohup", "--config", config, "--", "sh", "-c", "echo ready; read line; exit 5")
    ignore = {"stdin": subprocess.PIPE, "preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    with Ending(start(*command, **ignore)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        process.communicate("go on\n", timeout=10)
        assert process.returncode == 5


def test_a_signal_while_waiting_ends_the_wait_and_leaves_the_line(config: str) -> None:
    with Ending(start("run", "queue", "--config", config, "--", *HOLD)) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with Ending(start("run", "queue", "--config", config, "--", "true")) as waiter:
            eventually(lambda: standing(config, "queue") == (1, 1), "the second one stands in line")
            waiter.terminate()
            _, said = waiter.communicate(timeout=10)
            assert waiter.returncode == 128 + signal.SIGTERM
            assert said == ""
        assert standing(config, "queue") == (1, 0)


def test_a_command_does_not_outlive_us_even_if_we_are_killed(config: str) -> None:
    script = ("--", "sh", "-c", "echo $$; exec sleep 60")
    with Ending(start("run", "orphan", "--config", config, *script)) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
        eventually(lambda: not is_alive(pid), "the command has ended")


def test_the_command_s_own_children_get_the_signals_too(config: str, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {pid_file}; echo ready; wait"
    with Ending(start("run", "family", "--config", config, "--", "sh", "-c", script)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(10) == 128 + signal.SIGTERM
        eventually(lambda: not is_alive(int(text_of(pid_file))), "the grandchild has ended")


def test_open_descriptors_pass_through(config: str) -> None:
    reading, writing = os.pipe()
    try:
        result = subprocess.run(
            [*PROGRAM, "run", "descriptors", "--config", config, "--", "sh", "-c", f"echo through > /dev/fd/{writing}"],
            pass_fds=(writing,),
            env=environment(),
            timeout=20,
            check=False,
        )
        assert result.returncode == 0
        assert os.read(reading, 100) == b"through\n"
    finally:
        os.close(reading)
        os.close(writing)


def test_too_few_nodes_are_69_and_each_is_named(tmp_path: Path) -> None:
    config = tmp_path / "cluster.yaml"
    config.write_text(
        "name: gone\nnodes:\n" + "".join(f"- {{id: node{n}, url: 'http://127.0.0.1:{n}'}}\n" for n in (1, 2, 3))
    )
    result = failed(str(config), "gone", "--wait", "0.2")
    assert result.exit_code == 69
    assert all(f"node{n}: connection refused" in result.stderr for n in (1, 2, 3))
