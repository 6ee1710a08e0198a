"""Stops the program before, within or after a named write: a worker by SIGKILL, a test's own thread by Crash.

Or holds it there while another one does something, and lets it go on: a worker that was slow, not dead.

A point is "TABLE[.COLUMN] insert|update|delete|any NUMBER [before|within|after]". A column narrows updates to those
that give it a value: "syncjobs.outcome update 1" is the commit point of a move, but for what is done on SQL, which is
deleted at once (`find_commit`). "within" is for statements of many rows where these are not atomic (MongoDB): the first
row is written, then it stops; elsewhere it means "before".
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.backends.signals import connection_created

VARIABLE = "FAULTS_CRASH"
ANY = "any"
_ACTS = ("insert", "update", "delete", ANY)
_MOMENTS = ("before", "within", "after")
_SQL = re.compile(r"\s*(?:(INSERT)(?: OR IGNORE)? INTO|(UPDATE)|(DELETE) FROM) [\"`](\w+)[\"`]", re.IGNORECASE)
_METHODS = {"insert_many": "insert", "update_many": "update", "delete_many": "delete"}


class Crash(BaseException):
    """The process is gone. No handler of the product catches it, as none would run."""


def find_commit() -> str:
    """Return the commit point of what is done, on this database."""
    return "syncjobs.outcome update 1" if connection.vendor == "mongodb" else "syncjobs delete 1"


@dataclass(frozen=True)
class Write:
    """One statement that writes: its table, what it does, and whether it gives a column a value."""

    table: str
    act: str
    gives: Callable[[str], bool]


@dataclass(frozen=True)
class Point:
    """Where to stop: at the `number`-th write of this kind; 0 is nowhere."""

    table: str = ANY
    act: str = ANY
    number: int = 1
    moment: str = "before"
    column: str = ""

    @classmethod
    def parse(cls, text: str) -> Point:
        """Read "syncjobs.outcome update 1 after". Raises ValueError."""
        words = text.split()
        if len(words) == 3:
            words.append("before")
        if len(words) != 4 or words[1] not in _ACTS or words[3] not in _MOMENTS or not words[2].isdigit():
            raise ValueError(f"{text!r} should be TABLE[.COLUMN] {'|'.join(_ACTS)} NUMBER [{'|'.join(_MOMENTS)}]")
        table, _, column = words[0].partition(".")
        if column and words[1] != "update":
            raise ValueError(f"{text!r}: a column is for update only")
        return cls(table, words[1], int(words[2]), words[3], column)

    def means(self, write: Write) -> bool:
        """Say whether a write is of this kind."""
        return (
            self.table in (ANY, write.table)
            and self.act in (ANY, write.act)
            and (not self.column or write.gives(self.column))
        )


class Trap:
    """Counts the writes that a point means, and stops at the one that it names."""

    def __init__(self, point: Point, stop: Callable[[], None]) -> None:
        self.point, self._stop = point, stop
        self.seen = 0
        self.happened = False
        self._lock = threading.Lock()

    def run(self, write: Write, execute: Callable[[], Any], execute_first: Callable[[], Any] | None = None) -> Any:
        """Execute a write, or what is left of it."""
        if self.happened:
            self._stop()  # whoever is dead writes nothing more, in no `finally` either
        if not self._is_it(write):
            return execute()
        if self.point.moment == "within" and execute_first:
            execute_first()
        result = execute() if self.point.moment == "after" else None
        self.happened = True
        self._stop()
        return result

    def _is_it(self, write: Write) -> bool:
        if not self.point.means(write):
            return False
        with self._lock:
            self.seen += 1
            return self.seen == self.point.number


class Pause(Trap):
    """A trap in which nobody dies: what was stopped goes on afterwards."""

    def run(self, write: Write, execute: Callable[[], Any], execute_first: Callable[[], Any] | None = None) -> Any:
        """Execute a write, before or after which something else happens."""
        if not self._is_it(write):
            return execute()
        self.happened = True
        if self.point.moment == "after":
            result = execute()
            self._stop()
            return result
        self._stop()
        return execute()


# --- the uses


def arm_from_environment() -> None:
    """Kill this process (SIGKILL) at the point that FAULTS_CRASH names, if it does; settings call it."""
    text = os.environ.get(VARIABLE)
    if not text:
        return
    trap = Trap(Point.parse(text), _kill)

    def watch(connection: Any, **_: Any) -> None:
        if not getattr(connection, "faults_watched", False):
            connection.faults_watched = True
            _watch(connection, trap)

    connection_created.connect(watch, weak=False)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def crashing(point: Point | str) -> Iterator[Trap]:
    """Let this thread's program die at a point; the block ends there, and the test goes on.

    The trap tells whether it `happened`, and how many writes of the kind were `seen`.
    """
    trap = Trap(Point.parse(point) if isinstance(point, str) else point, _raise)
    connection.ensure_connection()
    unwatch = _watch(connection, trap)
    try:
        yield trap
    except Crash:
        if not trap.happened:
            raise
    finally:
        unwatch()


def _raise() -> None:
    raise Crash


def crash_before(number: int) -> AbstractContextManager[Trap]:
    """Let this thread's program die before its `number`-th write to any table."""
    return crashing(Point(number=number))


@contextmanager
def meanwhile(point: Point | str, act: Callable[[], Any]) -> Iterator[Trap]:
    """Let this thread's program wait at a point while `act` is done in another thread, on a connection of its own.

    Only where no transaction is open: SQLite would let `act` wait for its end.
    """
    failed: list[BaseException] = []

    def do() -> None:
        try:
            act()
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    def stop() -> None:
        other = threading.Thread(target=do)
        other.start()
        other.join()

    pause = Pause(Point.parse(point) if isinstance(point, str) else point, stop)
    connection.ensure_connection()
    unwatch = _watch(connection, pause)
    try:
        yield pause
    finally:
        unwatch()
    if failed:
        raise failed[0]


# --- at the connection


def _watch(connection: Any, trap: Trap) -> Callable[[], None]:
    if connection.vendor == "mongodb":
        plain = connection.get_collection
        connection.get_collection = lambda name, **options: _Collection(plain(name, **options), trap)
        return lambda: setattr(connection, "get_collection", plain)

    def wrapper(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Mapping[str, Any]) -> Any:
        write = _parse_sql(sql)
        return (
            trap.run(write, lambda: execute(sql, params, many, context))
            if write
            else execute(sql, params, many, context)
        )

    connection.execute_wrappers.append(wrapper)
    return lambda: connection.execute_wrappers.remove(wrapper)


def _parse_sql(sql: str) -> Write | None:
    found = _SQL.match(sql)
    if not found:
        return None
    *acts, table = found.groups()
    return Write(table, next(act for act in acts if act).lower(), lambda name: _sql_gives(sql, name))


def _sql_gives(sql: str, column: str) -> bool:
    changes = sql.partition(" WHERE ")[0]
    return re.search(rf'[ ,]"{column}" = (?!NULL\b)', changes) is not None


class _Collection:
    """A MongoDB collection whose writes go through a trap."""

    def __init__(self, collection: Any, trap: Trap) -> None:
        self._collection, self._trap = collection, trap

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._collection, name)
        return (lambda *a, **k: self._write(name, method, *a, **k)) if name in _METHODS else method

    def _write(self, name: str, method: Callable[..., Any], what: Any, *rest: Any, **options: Any) -> Any:
        act = _METHODS[name]
        changes = rest[0][0].get("$set", {}) if act == "update" else {}
        write = Write(self._collection.name, act, lambda column: _is_value(changes.get(column)))
        return self._trap.run(
            write,
            lambda: method(what, *rest, **options),
            lambda: self._write_first(act, what, *rest, **options),
        )

    def _write_first(self, act: str, what: Any, *rest: Any, **options: Any) -> None:
        if act == "insert":
            self._collection.insert_one(what[0], **options)
        else:
            getattr(self._collection, f"{act}_one")(what, *rest, **options)


def _is_value(given: Any) -> bool:
    return given is not None and given != {"$literal": None}
