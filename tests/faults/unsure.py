"""A database that fails, or only says so: a write that was done or was not, a read that never came.

FAULTS_UNSURE="RATE SEED [TALLY]" lets a process' writes fail at that rate, half of them after they were done; each is
noted by its kind in a line of the file TALLY.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connection
from django.db.backends.signals import connection_created
from pymongo.errors import AutoReconnect

VARIABLE = "FAULTS_UNSURE"
DONE, UNDONE, READ = "done", "undone", "read"
_WRITES = {"insert_many", "update_many", "delete_many"}
_SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE)\b", re.IGNORECASE)


class Unsure:
    """Chooses which statements fail: the `number`-th of its kind, or each at a rate by a seed."""

    def __init__(self, kind: str, *, number: int = 0, rate: float = 0.0, seed: int = 0, tally: str = "") -> None:
        self.kind, self.number, self.rate, self._tally = kind, number, rate, tally
        self.seen = self.failed = 0
        self._random = random.Random(seed)

    def is_hit(self, kind: str) -> bool:
        """Count one more statement of this kind and say whether it is to fail."""
        if kind != self.kind:
            return False
        self.seen += 1
        hit = self.seen == self.number or self._random.random() < self.rate
        self.failed += hit
        if hit and self._tally:
            with open(self._tally, "a") as tally:
                tally.write(f"{kind}\n")
        return hit


@contextmanager
def failing(kind: str, number: int) -> Iterator[Unsure]:
    """Let this thread's `number`-th write, or read, fail: UNDONE, DONE and reported as failed, READ."""
    unsure = Unsure(kind, number=number)
    connection.ensure_connection()
    undo = install(connection, unsure)
    try:
        yield unsure
    finally:
        undo()


def arm_from_environment() -> None:
    """Let the writes of this process fail as FAULTS_UNSURE says; settings call it."""
    given = os.environ.get(VARIABLE)
    if not given:
        return
    rate, seed, *tally = given.split()
    noted = {"rate": float(rate) / 2, "tally": "".join(tally)}
    faults = [Unsure(kind, seed=int(seed) + n, **noted) for n, kind in enumerate((DONE, UNDONE))]

    def watch(connection: Any, **_: Any) -> None:
        if not getattr(connection, "faults_unsure", False):
            connection.faults_unsure = True
            for unsure in faults:
                install(connection, unsure)

    connection_created.connect(watch, weak=False)


def install(connection: Any, unsure: Unsure) -> Callable[[], None]:
    """Let a connection fail; return what ends that."""
    return _install_mongodb(connection, unsure) if connection.vendor == "mongodb" else _install_sql(connection, unsure)


# --- SQL: what stands outside a transaction is its own commit; inside, the transaction's commit is


def _install_sql(connection: Any, unsure: Unsure) -> Callable[[], None]:
    plain_commit = connection._commit

    def commit() -> None:
        _write(unsure, plain_commit, _locked)

    def wrapper(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Mapping[str, Any]) -> Any:
        found, is_last = _SQL.match(sql), not connection.in_atomic_block
        if found and found[1].upper() != "SELECT" and is_last:
            return _write(unsure, lambda: execute(sql, params, many, context), _locked)
        if found and unsure.is_hit(READ if found[1].upper() == "SELECT" else UNDONE):
            raise _locked()
        return execute(sql, params, many, context)

    connection.execute_wrappers.append(wrapper)
    connection._commit = commit

    def undo() -> None:
        connection.execute_wrappers.remove(wrapper)
        connection._commit = plain_commit

    return undo


def _locked() -> Exception:
    return OperationalError("database is locked")


def _write(unsure: Unsure, execute: Callable[[], Any], make_error: Callable[[], Exception]) -> Any:
    if unsure.is_hit(UNDONE):
        raise make_error()
    result = execute()
    if unsure.is_hit(DONE):
        raise make_error()
    return result


# --- MongoDB: each statement stands for itself


def _install_mongodb(connection: Any, unsure: Unsure) -> Callable[[], None]:
    plain = connection.get_collection
    connection.get_collection = lambda name, **options: _Collection(plain(name, **options), unsure)
    return lambda: setattr(connection, "get_collection", plain)


class _Collection:
    """A collection whose connection may be lost."""

    def __init__(self, collection: Any, unsure: Unsure) -> None:
        self._collection, self._unsure = collection, unsure

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._collection, name)
        if name in _WRITES:
            return lambda *a, **k: _write(self._unsure, lambda: method(*a, **k), _lost)
        if name == "aggregate":
            return lambda *a, **k: self._read(lambda: method(*a, **k))
        return method

    def _read(self, execute: Callable[[], Any]) -> Any:
        if self._unsure.is_hit(READ):
            raise _lost()
        return execute()


def _lost() -> Exception:
    return AutoReconnect("connection closed")
