"""Where a client's cluster comes from: a file, or `GET /v1/cluster` of any one node.

The document alone goes through a private caching session; nothing about locks may. The cache keeps a document for
as long as its max-age says and not at all without one. Around it stand a deadline of our own, and the last document
that was good: it serves while the node is down, outlives the session, and is kept apart by API key.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec
from aiohttp_client_cache.backends.base import CacheBackend
from aiohttp_client_cache.response import AnyResponse
from aiohttp_client_cache.session import CachedSession
from yarl import URL

from lockmanager.errors import AccessDenied, ConfigurationError
from lockmanager.strict import redacted
from lockmanager.topology import Cluster, InvalidCluster, from_document, parse_cluster

_PATH: Final = "v1/cluster"
_MAX_AGE: Final = re.compile(r"(?:\A|,)\s*max-age=[0-9]{1,8}\s*(?:,|\Z)")
_FORBIDS: Final = re.compile(r"\bno-(?:store|cache)\b", re.IGNORECASE)
_KEPT: Final = 64

logger: Final = logging.getLogger(__name__)


class LastGood:
    """The last good cluster of each (URL, API key); bounded, the one unused longest goes first."""

    def __init__(self, limit: int = _KEPT) -> None:
        self._limit = limit
        self._clusters: OrderedDict[tuple[str, str], Cluster] = OrderedDict()

    def get(self, url: str, api_key: str | None) -> Cluster | None:
        """Return the cluster remembered for this URL and key, if any."""
        return self._clusters.get(self._key(url, api_key))

    def remember(self, url: str, api_key: str | None, cluster: Cluster) -> None:
        """Keep `cluster` as what this URL last told the owner of this key."""
        key = self._key(url, api_key)
        self._clusters[key] = cluster
        self._clusters.move_to_end(key)
        while len(self._clusters) > self._limit:
            self._clusters.popitem(last=False)

    @staticmethod
    def _key(url: str, api_key: str | None) -> tuple[str, str]:
        return url, "" if api_key is None else sha256(api_key.encode()).hexdigest()


_process_memory: Final = LastGood()


class ClusterDocuments:
    """Reads cluster documents; use as `async with`, or call `close` at the end.

    `timeout` is the deadline of one `load` in seconds. One object speaks with one API key, so nothing cached for
    one key can be seen with another. `last_good` is shared by the process unless given.
    """

    def __init__(self, *, timeout: float = 3.0, api_key: str | None = None, last_good: LastGood | None = None) -> None:
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise ConfigurationError("the API key has characters no HTTP header can carry; use printable ASCII")
        self._timeout = timeout
        self._api_key = api_key
        self._last_good = _process_memory if last_good is None else last_good
        self._session: CachedSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections and forget what is cached; a later `load` opens them again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()  # type: ignore[no-untyped-call]  # the library leaves it without types

    async def load(self, url: str) -> Cluster:
        """Return the cluster that the node at `url` belongs to, from the cache while its max-age lasts.

        While the node is down, returns the last good answer. Raises ConfigurationError when there is none, or what
        answers is no lock node; AccessDenied when the API key is refused.
        """
        address = _document_url(url)
        try:
            body = await self._fetch(address)
        except _Unreachable as error:
            return self._remembered(address, str(error))
        try:
            cluster = from_document(msgspec.json.decode(body))
        except (InvalidCluster, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            await self._forget(address)
            raise ConfigurationError(f"{address} is not a cluster document: {error}; give a lock node's URL") from None
        self._last_good.remember(str(address), self._api_key, cluster)
        return cluster

    async def _fetch(self, address: URL) -> bytes:
        if self._session is None:
            self._session = _caching_session(self._api_key)
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._session.get(address, allow_redirects=False) as response,
            ):
                _check_status(address, response.status)
                return await response.read()
        except TimeoutError:
            raise _Unreachable(f"no answer within {self._timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _Unreachable(str(error) or type(error).__name__) from None

    def _remembered(self, address: URL, cause: str) -> Cluster:
        cluster = self._last_good.get(str(address), self._api_key)
        if cluster is None:
            raise ConfigurationError(
                f"cannot read the cluster from {address}: {cause}; "
                "check the URL and that the node runs, or give another node's URL or a cluster.yaml"
            )
        logger.warning("cluster_document_stale url=%s cause=%r", address, cause)
        return cluster

    async def _forget(self, address: URL) -> None:
        if self._session is not None:
            await self._session.delete_url(address)


class _Unreachable(Exception):
    """The node gave no usable answer; the last good one may serve."""


async def load_document(url: str, *, timeout: float = 3.0, api_key: str | None = None) -> Cluster:
    """Return the cluster the node at `url` belongs to, within `timeout` seconds; errors as `ClusterDocuments.load`."""
    async with ClusterDocuments(timeout=timeout, api_key=api_key) as documents:
        return await documents.load(url)


def read_cluster_file(path: str | Path) -> Cluster:
    """Return the cluster described in the file at `path`; raises ConfigurationError naming the path."""
    try:
        return parse_cluster(Path(path).read_bytes().decode("utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {path}: {error.strerror or error}; give the path of a cluster.yaml"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except ValueError as error:  # InvalidCluster, and a path with a NUL
        raise ConfigurationError(f"{path}: {error}") from None


def _document_url(url: str) -> URL:
    shown = redacted(url)
    try:
        parsed = URL(url)
    except ValueError:
        raise ConfigurationError(f"{shown!r} is not a URL; write http://host:port") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError(f"{shown!r} is not a node's URL; write http://host:port or https://host:port")
    if parsed.user is not None or parsed.password is not None:
        raise ConfigurationError(f"{shown!r} carries credentials; give the key as api_key instead")
    return parsed.with_query(None).with_fragment(None) / _PATH


def _caching_session(api_key: str | None) -> CachedSession:
    headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
    cache = CacheBackend(
        cache_control=True,
        expire_after=0,
        urls_expire_after={f"*/{_PATH}": -1},
        allowed_methods=("GET",),
        filter_fn=_says_how_long,
    )
    session: CachedSession = CachedSession(cache=cache, headers=headers, cookie_jar=aiohttp.DummyCookieJar())
    return session


def _says_how_long(response: AnyResponse) -> bool:
    """Whether a response may be cached: only with a max-age the cache understands, else it keeps it for ever."""
    control = ",".join(response.headers.getall("Cache-Control", []))
    return bool(_MAX_AGE.search(control)) and not _FORBIDS.search(control)


def _check_status(address: URL, status: int) -> None:
    if status in (401, 403):
        raise AccessDenied(str(address), f"status {status}")
    if status >= 500 or status == 429:
        raise _Unreachable(f"status {status}")
    if status != 200:
        raise ConfigurationError(f"{address} answered with status {status}; give the URL of a lock node itself")
