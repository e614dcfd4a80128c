"""Wires carry bytes as TCP does: in order, in any pieces, to an end that may not read, until either end has enough."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.virtual.loop import VirtualLoop, run_virtually
from tests.virtual.wires import KERNEL, Wire

DELAY = 0.01


class _Steady:
    """Weather in which everything takes the same time; the rest is set by a test."""

    def __init__(self) -> None:
        self.size = 1 << 20
        self.noticed = 0.0
        self.surviving: int | None = None

    def delay(self) -> float:
        return DELAY

    def notice(self) -> float:
        return self.noticed

    def pieces(self, data: bytes) -> Iterator[bytes]:
        return (data[at : at + self.size] for at in range(0, len(data), self.size))

    def survive(self, size: int) -> int:
        return size if self.surviving is None else self.surviving


class _Reader(asyncio.Protocol):
    """Keeps all it is told, with the time."""

    def __init__(self) -> None:
        self.told: list[tuple[float, object]] = []
        self.keeps_open = False

    def _note(self, what: object) -> None:
        self.told.append((round(asyncio.get_running_loop().time(), 6), what))

    def data_received(self, data: bytes) -> None:
        self._note(data)

    def eof_received(self) -> bool:
        self._note("end")
        return self.keeps_open

    def connection_lost(self, exc: Exception | None) -> None:
        self._note(exc if exc is None else type(exc))

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")


class _Pair:
    """A wire with a reader at each end, and its trace."""

    def __init__(self) -> None:
        self.weather = _Steady()
        self.trace: list[tuple[str, str, bytes]] = []
        self.wire = Wire("a", "b", self.weather, lambda *event: self.trace.append(event), 1)
        self.near, self.far = _Reader(), _Reader()
        self.wire.near.attach(self.near)
        self.wire.far.attach(self.far)


def _on_a_wire(scene: Callable[[_Pair], Awaitable[None]]) -> _Pair:
    async def main(_: VirtualLoop) -> _Pair:
        pair = _Pair()
        await scene(pair)
        return pair

    return run_virtually(main)


def test_bytes_arrive_in_order_after_their_delay() -> None:
    async def scene(pair: _Pair) -> None:
        pair.wire.near.write(b"one")
        pair.wire.near.write(b"two")
        await asyncio.sleep(1)

    assert _on_a_wire(scene).far.told == [(DELAY, b"one"), (DELAY, b"two")]


def test_bytes_sent_together_arrive_in_pieces() -> None:
    async def scene(pair: _Pair) -> None:
        pair.weather.size = 2
        pair.wire.near.write(b"abcde")
        await asyncio.sleep(1)

    assert [data for _, data in _on_a_wire(scene).far.told] == [b"ab", b"cd", b"e"]


def test_a_close_lets_what_was_written_arrive_and_then_ends_both_ends() -> None:
    async def scene(pair: _Pair) -> None:
        pair.wire.near.write(b"last")
        pair.wire.near.close()
        await asyncio.sleep(1)

    pair = _on_a_wire(scene)
    assert pair.near.told == [(0.0, None)]
    assert pair.far.told == [(DELAY, b"last"), (DELAY, "end"), (DELAY, None)]
    assert pair.wire.over


def test_one_way_may_end_before_the_other() -> None:
    async def scene(pair: _Pair) -> None:
        pair.far.keeps_open = True
        pair.wire.near.write_eof()
        await asyncio.sleep(1)
        pair.wire.far.write(b"still")
        await asyncio.sleep(1)

    pair = _on_a_wire(scene)
    assert pair.far.told == [(DELAY, "end")]
    assert pair.near.told == [(1 + DELAY, b"still")]


def test_who_does_not_read_makes_the_writer_wait() -> None:
    async def scene(pair: _Pair) -> None:
        pair.wire.far.pause_reading()
        pair.wire.near.write(bytes(KERNEL))
        assert pair.wire.near.get_write_buffer_size() == 0
        pair.wire.near.write(bytes(2 * KERNEL))
        assert pair.wire.near.get_write_buffer_size() == 2 * KERNEL
        await asyncio.sleep(1)
        assert pair.far.told == []
        pair.wire.far.resume_reading()
        await asyncio.sleep(1)

    assert _on_a_wire(scene).near.told == [(0.0, "pause"), (1.0, "resume")]


def test_an_abort_drops_what_has_not_left_the_buffer() -> None:
    async def scene(pair: _Pair) -> None:
        pair.wire.stall()
        pair.wire.near.write(bytes(3 * KERNEL))
        pair.wire.near.abort()
        pair.wire.resume()
        await asyncio.sleep(1)

    assert sum(len(data) for _, data in _on_a_wire(scene).far.told if isinstance(data, bytes)) == KERNEL


def test_an_abort_on_a_broken_wire_keeps_nobody_from_learning_of_it() -> None:
    async def scene(pair: _Pair) -> None:
        pair.wire.reset()
        pair.wire.near.abort()
        await asyncio.sleep(1)

    pair = _on_a_wire(scene)
    assert pair.far.told == [(DELAY, ConnectionResetError)]
    assert pair.wire.over


def test_a_stalled_way_loses_nothing_and_keeps_its_order() -> None:
    async def scene(pair: _Pair) -> None:
        pair.wire.stall(pair.wire.up)
        pair.wire.near.write(b"one")
        pair.wire.far.write(b"back")
        await asyncio.sleep(1)
        pair.wire.near.write(b"two")
        pair.wire.resume()
        await asyncio.sleep(1)

    pair = _on_a_wire(scene)
    assert pair.near.told == [(DELAY, b"back")]
    assert pair.far.told == [(1.0, b"one"), (1 + DELAY, b"two")]


def test_a_reset_loses_what_is_under_way_from_some_byte_on_and_either_end_learns_of_it() -> None:
    async def scene(pair: _Pair) -> None:
        pair.weather.surviving, pair.weather.noticed = 3, 0.5
        pair.wire.near.write(b"abcdef")
        pair.wire.reset()
        pair.wire.near.write(b"never")
        await asyncio.sleep(1)

    pair = _on_a_wire(scene)
    assert pair.far.told == [(DELAY, b"abc"), (DELAY + 0.5, ConnectionResetError)]
    assert pair.near.told == [(DELAY + 0.5, ConnectionResetError)]


def test_bytes_for_a_closed_end_reset_the_other() -> None:
    async def scene(pair: _Pair) -> None:
        pair.far.keeps_open = True
        pair.wire.near.close()
        await asyncio.sleep(1)
        pair.wire.far.write(b"hello?")
        await asyncio.sleep(1)

    assert _on_a_wire(scene).far.told == [(DELAY, "end"), (1 + 2 * DELAY, ConnectionResetError)]


def test_an_end_closed_with_unread_bytes_resets_the_other() -> None:
    async def scene(pair: _Pair) -> None:
        pair.wire.near.pause_reading()
        pair.wire.far.write(b"unread")
        await asyncio.sleep(1)
        pair.wire.near.close()
        await asyncio.sleep(1)

    assert _on_a_wire(scene).far.told == [(1 + DELAY, ConnectionResetError)]


def test_a_protocol_that_fails_loses_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(pair: _Pair) -> None:
        pair.far.data_received = lambda _: 1 / 0  # type: ignore[method-assign,assignment]
        pair.wire.near.write(b"x")
        await asyncio.sleep(1)

    assert _on_a_wire(scene).far.told == [(DELAY, ZeroDivisionError)]
    assert "protocol failed" in caplog.text


def test_the_trace_tells_what_was_sent_and_what_arrived() -> None:
    async def scene(pair: _Pair) -> None:
        pair.weather.size = 1
        pair.wire.near.write(b"ab")
        pair.wire.near.close()
        await asyncio.sleep(1)

    way = "1 a>b"
    sent, *rest = _on_a_wire(scene).trace
    assert sent == (way, "sent", b"ab")
    assert rest[:3] == [(way, "arrived", b"a"), (way, "arrived", b"b"), (way, "end", b"")]
