"""What a stranger inside a node's container can do: nothing but what the node itself does."""

from __future__ import annotations

import json
import time

import pytest
from tests.e2e.stack import NODES, PORTS, CommandFailed, Stack, run

pytestmark = pytest.mark.compose

COMPILERS = ("gcc", "cc", "g++", "c++", "clang", "tcc", "rustc", "go", "make", "as", "ld")
INSTALLERS = ("pip", "pip3", "pip3.11", "wheel", "easy_install", "uv", "poetry", "conda")
PYTHONS = ("python", "python3", "/usr/bin/python3", "/usr/local/bin/python3", "/opt/lockmanager/bin/python")


def _status(stack: Stack) -> dict[str, str]:
    lines = stack.exec("node1", "cat", "/proc/1/status").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _exists(stack: Stack, program: str) -> bool:
    try:
        stack.exec("node1", "sh", "-c", f"command -v {program}")
    except CommandFailed:
        return False
    return True


def test_the_node_is_the_first_process_so_that_signals_reach_it(stack: Stack) -> None:
    command = stack.exec("node1", "cat", "/proc/1/cmdline").split("\0")
    assert command[:3] == ["python", "-m", "lockmanager_node"]


def test_the_node_is_nobody_special(stack: Stack) -> None:
    status = _status(stack)
    assert status["Uid"].split() == ["10001"] * 4
    assert status["Gid"].split() == ["10001"] * 4
    assert status["NoNewPrivs"] == "1"
    assert {status[key].strip("0") for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {""}


@pytest.mark.parametrize("path", ["/", "/etc", "/opt/lockmanager", "/etc/lockmanager", "/usr/bin"])
def test_the_root_file_system_is_read_only(stack: Stack, path: str) -> None:
    assert stack.inspect("node1")["HostConfig"]["ReadonlyRootfs"] is True
    with pytest.raises(CommandFailed, match="Read-only file system"):
        stack.exec("node1", "touch", f"{path}/planted")


def test_the_cluster_file_cannot_be_changed_from_inside(stack: Stack) -> None:
    mounts = {mount["Destination"]: mount["RW"] for mount in stack.inspect("node1")["Mounts"]}
    assert mounts == {"/etc/lockmanager/cluster.yaml": False, "/var/lib/lockmanager": True}


def test_the_data_directory_is_writable_and_private(stack: Stack) -> None:
    stack.exec("node1", "sh", "-c", "touch /var/lib/lockmanager/probe && rm /var/lib/lockmanager/probe")
    assert stack.exec("node1", "stat", "-c", "%u %a", "/var/lib/lockmanager").split() == ["10001", "700"]


def test_the_journal_is_private(stack: Stack) -> None:
    listed = stack.exec("node1", "sh", "-c", "stat -c '%n %u %g %a' /var/lib/lockmanager/*").splitlines()
    files = {name: (int(owner), int(group), mode) for name, owner, group, mode in (line.split() for line in listed)}
    assert "/var/lib/lockmanager/journal.db" in files
    assert set(files.values()) == {(10001, 10001, "600")}


@pytest.mark.parametrize("program", COMPILERS + INSTALLERS)
def test_no_compiler_and_no_installer_is_on_the_path(stack: Stack, program: str) -> None:
    assert not _exists(stack, program)


@pytest.mark.parametrize("module", ["pip", "ensurepip", "setuptools"])
def test_no_python_of_the_image_has_pip(stack: Stack, module: str) -> None:
    pythons = [python for python in PYTHONS if _exists(stack, python)]
    assert {"python", "/opt/lockmanager/bin/python"} <= set(pythons)
    for python in pythons:
        with pytest.raises(CommandFailed, match=f"No module named '{module}'"):
            stack.exec("node1", python, "-c", f"import {module}")


def test_no_packed_pip_lies_around(stack: Stack) -> None:
    wheels = stack.exec("node1", "sh", "-c", "find / -xdev -name '*.whl' 2>/dev/null || true")
    assert wheels.split() == []


@pytest.mark.parametrize("node", NODES)
def test_a_node_is_published_on_loopback_only(stack: Stack, node: str) -> None:
    bindings = stack.inspect(node)["NetworkSettings"]["Ports"]
    assert bindings == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(PORTS[node])}]}


def test_sigterm_stops_the_node_at_once_and_cleanly(stack: Stack) -> None:
    container = stack.container("node3")
    begin = time.monotonic()
    run("docker", "stop", "--time", "10", container)
    took = time.monotonic() - begin
    state = stack.inspect("node3")["State"]
    run("docker", "start", container)
    stack.wait_healthy()
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)
    assert took < 2.0


def test_the_command_line_is_in_the_image_and_sees_its_cluster_from_inside(stack: Stack) -> None:
    said = json.loads(stack.exec("node1", "lockmanager", "status", "--json"))
    assert [node["ready"] for node in said["nodes"]] == [True] * len(NODES)
