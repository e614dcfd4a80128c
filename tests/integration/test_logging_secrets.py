"""No token, session id or API key is shown: not in full debug logs, not in any representation, not in any error."""

from __future__ import annotations

import asyncio
import gc
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from typing import Any, Final

import pytest
from rich.pretty import pretty_repr

import lockmanager
import lockmanager_node
from lockmanager import AccessDenied, Cluster, Coordinator, LeaseLost, LockManagerError, NotAcquired, wire
from lockmanager.engine import SystemRandomness
from lockmanager.testing import LocalCluster
from lockmanager.topology import ApiKey, NodeAddress
from lockmanager.wire import Token
from tests.support.local import revoke
from tests.support.node_server import NODE_ID, serving
from tests.support.node_server import cluster as one_node
from tests.support.waiting import in_line, session_is_gone, sessions_are_live

API_KEY: Final = "the-key-of-this-test-0123456789abcdef"
NAME: Final = "orders/42"


class Recorder(SystemRandomness):
    """Remembers every token and session id it gives."""

    def __init__(self) -> None:
        self.secrets: list[str] = []

    def token(self) -> Token:
        token = super().token()
        self.secrets.append(token)
        return token


class Shown:
    """Everything that was shown so far."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, *things: object) -> None:
        for thing in things:
            self.texts += [repr(thing), str(thing), pretty_repr(thing, max_depth=8)]
            if isinstance(thing, BaseException):
                self.texts += traceback.format_exception(thing)

    def leaks(self, secrets: list[str]) -> list[str]:
        """Return the beginning of each text that shows a secret."""
        return [text[:200] for text in self.texts if any(secret in text for secret in secrets)]


class Collected(logging.Handler):
    """Keeps each record's text, its arguments' representations and its traceback."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(logging.DEBUG)
        self.shown = shown
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        self.shown.texts += [self.format(record), repr(record.args), repr(record.__dict__)]


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture(autouse=True)
def log(shown: Shown) -> Iterator[Collected]:
    """Log everything, of asyncio and aiohttp too, asyncio in its debug mode included."""
    handler, root = Collected(shown), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield handler
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def cluster() -> AsyncIterator[LocalCluster]:
    async with LocalCluster() as cluster:
        yield cluster


def ours() -> list[object]:
    """Return every living object of our classes, and every task with its coroutine."""
    packages = (lockmanager.__name__, lockmanager_node.__name__)
    found = [thing for thing in gc.get_objects() if str(type(thing).__module__).partition(".")[0] in packages]
    return [*found, *asyncio.all_tasks()]


async def busy(cluster: LocalCluster, recorder: Recorder, shown: Shown) -> None:
    """Do everything that can be done with locks, and show whatever comes by."""
    one = cluster.coordinator(label="one", randomness=recorder)
    other = cluster.coordinator(label="other", randomness=recorder)
    async with one, other:
        async with one.lock(NAME, ttl=60) as lease:
            waiting = asyncio.create_task(other.acquire(NAME, ttl=60, wait=30))
            await in_line(one, NAME)
            with pytest.raises(NotAcquired) as caught:
                await other.acquire(NAME, wait=0)
            shown.add(lease, lease.loss(), waiting, caught.value, await one.inspect(NAME), *ours())
            await lease.renew(90)
        second = await waiting
        async with other.efficiency_lock(NAME, ttl=60) as cheap, one.lock("shared", ttl=60, shared=True):
            shown.add(second, cheap, *ours())
        await revoke(cluster, NAME)
        await second.lost.wait()
        with pytest.raises(LeaseLost) as lost:
            second.check()
        shown.add(lost.value, second)
        await faults(cluster, one, shown)
    shown.add(*ours())


async def faults(cluster: LocalCluster, one: Coordinator, shown: Shown) -> None:
    """Let nodes die under a lease, and ask for what cannot be had."""
    lease = await one.acquire("faults", ttl=0.5)
    await cluster.stop("node1")
    await cluster.kill("node2")
    for node in ("node1", "node2"):
        await session_is_gone(one, node)
    with pytest.raises(LockManagerError) as unavailable:
        await one.acquire("faults", wait=0)
    with pytest.raises(LockManagerError) as rejected:
        await one.acquire("faults", ttl=-1)
    await lease.lost.wait()
    shown.add(unavailable.value, rejected.value, lease, lease.loss(), *ours())
    await cluster.start("node1", "node2")
    await sessions_are_live(one)
    await (await one.acquire("faults", wait=5)).release()


async def test_a_busy_cluster_shows_no_token_and_no_session_id(
    cluster: LocalCluster, recorder: Recorder, shown: Shown, log: Collected
) -> None:
    asyncio.get_running_loop().set_debug(True)
    await busy(cluster, recorder, shown)
    assert len(recorder.secrets) >= 10
    assert log.count > 50
    assert len(shown.texts) > 1_000
    assert shown.leaks(recorder.secrets) == []


async def test_the_api_key_is_not_shown_by_client_or_node(
    recorder: Recorder, shown: Shown, log: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOCKMANAGER_API_KEY", raising=False)
    hashed = sha256(API_KEY.encode()).hexdigest()
    async with serving(one_node(keys=(API_KEY,))) as node:
        url = f"http://127.0.0.1:{node.port}"
        discovered = Coordinator.discover(url, api_key=API_KEY)
        async with discovered:
            shown.add(discovered, *ours())
            shown.add(await discovered.inspect("x"))
        known = Cluster(name="test", nodes=(NodeAddress(NODE_ID, url),))
        async with Coordinator(known, api_key=API_KEY, randomness=recorder) as configured:
            await sessions_are_live(configured)
            shown.add(configured, await configured.inspect("x"), *ours())
        with pytest.raises(AccessDenied) as denied:
            await Coordinator.discover(url, api_key=API_KEY + "x").__aenter__()
        shown.add(denied.value)
        with suppress(LockManagerError):
            Coordinator.discover(f"http://user:{API_KEY}@127.0.0.1:{node.port}")
        reply = await node.get("/v1/locks", Authorization=f"Bearer {API_KEY}")
        assert reply.status == 200
        shown.add(reply.text, ApiKey("a", hashed))
    assert log.count > 0
    assert shown.leaks([API_KEY, hashed, *recorder.secrets]) == []


def samples() -> list[Callable[[Token], Any]]:
    """Return a maker of each message that carries a secret."""
    grant_id = (1, 2)
    return [
        lambda token: wire.Hello(1, "f" * 64, token, "label"),
        lambda token: wire.Acquire(token, wire.Space.QUORUM, "n", 1, 1, wire.Mode.SHARED, True, "label"),
        lambda token: wire.Yield(token, grant_id),
        lambda token: wire.Raise(token, 1),
        lambda token: wire.Renew(token, 1),
        lambda token: wire.Release(token),
        lambda token: wire.Granted(token, grant_id, 1, 1, False),
        lambda token: wire.Queued(token, []),
        lambda token: wire.Refused(token, []),
        lambda token: wire.Inquire(token, grant_id),
        lambda token: wire.Raised(token, 1),
        lambda token: wire.Renewed(token, 1),
        lambda token: wire.Lost(token),
        lambda token: wire.Revoked(token),
        lambda token: wire.Released(token),
        lambda token: wire.Rejected(token, "code", "detail"),
    ]


@pytest.mark.parametrize("make", samples())
def test_no_message_shows_its_secret(make: Callable[[Token], Any], recorder: Recorder, shown: Shown) -> None:
    message = make(recorder.token())
    frame = wire.UpFrame if isinstance(message, wire.UpMessage) else wire.DownFrame
    shown.add(message, [message], {"message": message}, frame(1, [message]) if frame is wire.UpFrame else message)
    assert shown.leaks(recorder.secrets) == []


def test_a_frame_that_cannot_be_read_does_not_show_what_is_in_it(recorder: Recorder, shown: Shown) -> None:
    token = recorder.token()
    for broken in (b"\xc1" + token.encode(), wire._encoder.encode([1, [[4, token, "x"]]]), wire._encoder.encode(token)):
        for decode in (wire.decode_up, wire.decode_down):
            with pytest.raises(wire.MalformedFrame) as caught:
                decode(broken)
            shown.add(caught.value)
    assert shown.leaks(recorder.secrets) == []
