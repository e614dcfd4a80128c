"""The round trip to each node, below which no lock can be: pings on connections like those the locks use.

A ping passes the same network, TLS and event loops as a lock's frames and asks for nothing; acquire and release are
two such trips. The connections say no hello: to the nodes they are sessions that never began.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

import aiohttp
from aiohttp import WSMsgType

from ...transport import cause_of
from .figures import RoundTrip, round_trip_from

_LONGEST: Final = 1.0
"""Seconds the pings of all nodes may take together: nodes drop connections that say no hello for long."""

_MOST: Final = 500
_DEADLINE: Final = 1.0
"""Seconds for one connection, or one answer."""


class _Silent(Exception):
    """A node does not answer; the text says why."""


async def round_trips(urls: Mapping[str, str], seconds: float, api_key: str | None) -> tuple[RoundTrip, ...]:
    """Ping the nodes one after the other, in at most `seconds`; nodes that do not answer are named with their cause."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    async with aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as http:
        sockets = await asyncio.gather(*(_connected(http, url) for url in urls.values()))
        share = min(seconds, _LONGEST) / len(urls)
        found = [
            await _pinged(node, url, socket, share) for (node, url), socket in zip(urls.items(), sockets, strict=True)
        ]
        await asyncio.gather(*(_closed(socket) for socket in sockets))
    return tuple(found)


async def _connected(http: aiohttp.ClientSession, url: str) -> aiohttp.ClientWebSocketResponse | str:
    """Return a connection to a node, or why there is none."""
    try:
        async with asyncio.timeout(_DEADLINE):
            return await http.ws_connect(f"{url}/v1/session", autoping=False, compress=0)
    except TimeoutError:
        return f"no connection within {_DEADLINE:g} s"
    except aiohttp.WSServerHandshakeError as error:
        return f"HTTP {error.status} instead of a session"
    except (aiohttp.ClientError, OSError) as error:
        return cause_of(error)


async def _pinged(node: str, url: str, socket: aiohttp.ClientWebSocketResponse | str, seconds: float) -> RoundTrip:
    if isinstance(socket, str):
        return round_trip_from(node, url, [], socket)
    durations: list[float] = []
    now = time.perf_counter()
    end = now + seconds
    try:
        while not durations or (now < end and len(durations) < _MOST):
            begin = now
            await _ping(socket)
            now = time.perf_counter()
            durations.append(now - begin)
    except _Silent as silent:
        return round_trip_from(node, url, [], str(silent))
    return round_trip_from(node, url, durations, None)


async def _ping(socket: aiohttp.ClientWebSocketResponse) -> None:
    try:
        async with asyncio.timeout(_DEADLINE):
            await socket.ping()
            answer = await socket.receive()
    except TimeoutError:
        raise _Silent(f"no answer within {_DEADLINE:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise _Silent(cause_of(error)) from None
    if answer.type is not WSMsgType.PONG:
        raise _Silent("the node closed the connection")


async def _closed(socket: aiohttp.ClientWebSocketResponse | str) -> None:
    if not isinstance(socket, str):
        try:
            async with asyncio.timeout(_DEADLINE):
                await socket.close()
        except TimeoutError:
            return
