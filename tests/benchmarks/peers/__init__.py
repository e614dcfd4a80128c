"""The systems people use for locks today, each with its own Python client in the best pattern it has."""

from __future__ import annotations

from .etcd import Etcd
from .mariadb import MariaDB
from .postgres import Postgres
from .redis import Redlock

SUBJECTS = (Redlock, MariaDB, Postgres, Etcd)
