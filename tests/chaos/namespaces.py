"""The network of one run: every party has a network namespace and an address of its own, and iptables parts them.

A switch (a bridge in one more namespace) joins them; nothing is added to the namespace the run itself is in. A way is a
pair (from, to): what is blocked is dropped silently where it would arrive, as a broken switch does it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Final, NewType

from tests.chaos.undertaker import Undertaker

Way = tuple[str, str]
"""From one party to another."""

Namespace = NewType("Namespace", str)

_DEADLINE: Final = 180.0
"""Seconds one command may take: the kernel makes those that change a network wait for all its processors."""

_CLONE_NEWNET: Final = 0x40000000
_SUBNET: Final = "10.77.0"
_DEVICE: Final = "eth0"
_numbers = count(1)
_libc = ctypes.CDLL(None, use_errno=True)


class CommandFailed(Exception):
    """A command of the system that ended badly; carries the command and what it said."""


def run(*command: str, stdin: str = "") -> str:
    """Run a command of the system and return its output; raises CommandFailed."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=_DEADLINE, check=False)
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()[-1000:]}")
    return done.stdout


def missing_namespaces() -> str | None:
    """Say why no network of our own can be made here, or return None when one can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if absent := [
        command for command in ("ip", "nsenter", "iptables", "iptables-restore") if shutil.which(command) is None
    ]:
        return f"{', '.join(absent)} is not installed"
    try:
        with Undertaker() as undertaker:
            network = Network(undertaker)
            network.add("probe")
            network.block([("switch", "probe")])
    except CommandFailed as error:
        return f"this machine does not permit it: {error}"
    return None


class Network:
    """Parties that can be parted. The undertaker takes it away, and with each namespace all that is in it."""

    def __init__(self, undertaker: Undertaker) -> None:
        self._undertaker = undertaker
        self._name = f"lmchaos-{os.getpid()}-{next(_numbers)}"
        self._addresses = {"switch": f"{_SUBNET}.1"}
        self._make("switch")
        self._ip("switch", "link add bridge0 type bridge")
        self._ip("switch", f"address add {_SUBNET}.1/24 dev bridge0")
        self._ip("switch", "link set bridge0 up")

    def add(self, party: str) -> None:
        """Give a party its place in the network."""
        number = len(self._addresses) + 9
        self._make(party)
        self._addresses[party] = f"{_SUBNET}.{number}"
        plug = f"port{number}"
        self._ip("switch", f"link add {plug} type veth peer name {_DEVICE} netns {self.namespace(party)}")
        self._ip("switch", f"link set {plug} master bridge0 up")
        self._ip(party, f"address add {self.address(party)}/24 dev {_DEVICE}")
        self._ip(party, f"link set {_DEVICE} up")

    def namespace(self, party: str) -> Namespace:
        return Namespace(f"{self._name}-{party}")

    def address(self, party: str) -> str:
        return self._addresses[party]

    def block(self, ways: Iterable[Way]) -> None:
        """Drop what takes these ways from now on. Blocked twice, a way must be opened twice."""
        self._change("--append", ways)

    def open(self, ways: Iterable[Way]) -> None:
        """Let through again what was blocked."""
        self._change("--delete", ways)

    def pull_plug(self, party: str) -> None:
        """Take a party off the network: its device says so, as when a cable is pulled."""
        self._ip(party, f"link set {_DEVICE} down")

    def plug_in(self, party: str) -> None:
        self._ip(party, f"link set {_DEVICE} up")

    def rules(self, party: str) -> list[str]:
        """Return what a party drops."""
        said = run(*inside(self.namespace(party)), "iptables", "--wait", "--list-rules", "INPUT")
        return [line for line in said.splitlines() if line.startswith("-A")]

    def _change(self, verb: str, ways: Iterable[Way]) -> None:
        per_party: dict[str, list[str]] = {}
        for source, target in ways:
            rule = f"{verb} INPUT --source {self.address(source)} --jump DROP"
            per_party.setdefault(target, []).append(rule)
        for party, rules in per_party.items():
            command = (*inside(self.namespace(party)), "iptables-restore", "--wait", "--noflush")
            run(*command, stdin="\n".join(["*filter", *rules, "COMMIT", ""]))

    def _make(self, party: str) -> None:
        name = self.namespace(party)
        self._undertaker.note_namespace(name)
        run("ip", "netns", "add", name)
        self._ip(party, "link set lo up")

    def _ip(self, party: str, words: str) -> None:
        run("ip", "-netns", self.namespace(party), *words.split())


def inside(namespace: Namespace | None) -> tuple[str, ...]:
    """Return what to put before a command that is to run in a namespace; it becomes that command, under the same id."""
    return () if namespace is None else ("nsenter", f"--net=/run/netns/{namespace}")


def connect(namespace: Namespace | None, address: tuple[str, int], timeout: float) -> socket.socket:
    """Connect to an address as a process in that namespace would; raises OSError."""
    if namespace is None:
        return socket.create_connection(address, timeout)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_connect_inside, namespace, address, timeout).result()


def _connect_inside(namespace: Namespace, address: tuple[str, int], timeout: float) -> socket.socket:
    enter(namespace)
    return socket.create_connection(address, timeout)


def enter(namespace: Namespace) -> None:
    """Enter a namespace with this thread alone, for good: use a thread that ends soon."""
    with Path("/run/netns", namespace).open("rb") as file:
        if _libc.setns(file.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter network namespace {namespace}")
