"""What MongoDB's backend does silently or otherwise than SQL, each closed by a rule of the house or by how we write."""

from __future__ import annotations

import ast
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.apps import apps
from django.db import Error, IntegrityError, NotSupportedError, connection, models
from pymongo.errors import PyMongoError

from dataunion import claims
from dataunion.clock import db_now
from dataunion.models import DataUnion, SyncJob
from dataunion.publication import in_one_transaction, write_entry
from tests.dataunion.work import at_once, done, hand_in, job_of, set_partner
from tests.faults.unsure import DONE, UNDONE, failing

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("dataunion", "dataunion_project", "partners", "demo", "verify")
OURS = list(apps.get_app_config("dataunion").get_models())


@cache
def calls() -> list[tuple[str, ast.Call, str]]:
    """Return every call of a method in our code: where, the call, the method's name."""
    return list(_calls())


def _calls() -> Iterator[tuple[str, ast.Call, str]]:
    for path in (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))):
        if not {"migrations", "mongo_migrations", "sandbox"} & set(path.parts):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node, node.func.attr


def chain(call: ast.Call) -> Iterator[tuple[str, ast.Call]]:
    """Yield the calls that this one is made on: of a.filter(x).update(y) the filter."""
    node: ast.AST = call.func
    while isinstance(node, ast.Attribute | ast.Call):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, node
        node = node.func if isinstance(node, ast.Call) else node.value


def conditions(call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names and values by which a call chooses rows, also within Q."""
    for node in [call, *(n for a in call.args for n in ast.walk(a) if isinstance(n, ast.Call))]:
        yield from ((keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg)


def fields_of(kind: type[models.Field[Any, Any]]) -> set[str]:
    return {field.name for model in OURS for field in model._meta.get_fields() if isinstance(field, kind)}


# --- keys and indexes


def test_every_key_is_the_column_that_mongodb_has_an_index_for() -> None:
    assert {model.__name__: model._meta.pk.column for model in OURS if model._meta.pk.column != "_id"} == {}
    assert [model for model in OURS if isinstance(model._meta.pk, models.AutoField)] == []


def test_beside_each_unique_index_stands_one_that_a_query_can_use() -> None:
    for model in OURS:
        plain = {index.fields[0] for index in model._meta.indexes}
        unique = {c.fields[0] for c in model._meta.constraints if isinstance(c, models.UniqueConstraint)}
        unique |= {field.name for field in model._meta.fields if field.unique and not field.primary_key}
        assert unique <= plain, model


# --- what is silently something else


SILENT = {"only", "defer", "select_for_update", "prefetch_related", "raw", "extra"}


def test_what_does_nothing_on_mongodb_is_never_called() -> None:
    named = [where for where, call, name in calls() if name in SILENT and not _is_of_something_else(call)]

    assert named == []


def _is_of_something_else(call: ast.Call) -> bool:
    """Say whether it is a method of another thing than of rows, which are asked for by a chain from `objects`."""
    source = ast.unparse(call.func)
    return "objects" not in source and "rows" not in source and "queryset" not in source


def test_nothing_is_left_out_by_a_value_inside_json() -> None:
    inside = tuple(f"{name}__" for name in fields_of(models.JSONField))
    found = [w for w, call, name in calls() if name == "exclude" for k, _ in conditions(call) if k.startswith(inside)]

    assert found == []


def test_no_row_is_chosen_for_a_write_by_what_stands_in_another_table() -> None:
    across = tuple(f"{name}__" for name in fields_of(models.ForeignKey))
    found = [
        where
        for where, call, name in calls()
        if name in ("update", "delete")
        for made, before in chain(call)
        if made in ("filter", "exclude")
        for key, _ in conditions(before)
        if key.startswith(across)
    ]

    assert found == []


def test_nothing_is_compared_and_set_on_a_time() -> None:
    # An hour is whole everywhere. A sign-in compares what it has just read from the row, and refuses at worst.
    times = fields_of(models.DateTimeField) - {"hour", "last_login"}
    found = [
        f"{where} {key}"
        for where, call, name in calls()
        if name in ("filter", "exclude", "get")
        for key, value in conditions(call)
        if key in times and not (isinstance(value, ast.Constant) and value.value is None)
    ]

    assert found == []


def test_a_time_comes_back_to_the_millisecond() -> None:
    hand_in()
    given = db_now() + timedelta(microseconds=456)

    SyncJob.objects.update(due_at=given)

    assert given - SyncJob.objects.get(partner="akave").due_at in (timedelta(0), timedelta(microseconds=456))


def test_a_text_that_looks_like_a_field_is_stored_as_it_is() -> None:
    job = job_of(hand_in())

    SyncJob.objects.filter(pk=job.pk).update(error_message="$record_id", step="$$ROOT")

    assert SyncJob.objects.values_list("error_message", "step").get(pk=job.pk) == ("$record_id", "$$ROOT")


# --- one row that many want


def test_of_many_who_write_one_row_each_counts() -> None:
    record = hand_in()

    def raise_fence() -> None:
        for _ in range(3):
            while not _raise(record):
                pass

    assert at_once(*[raise_fence] * 6) == [None] * 6
    assert DataUnion.objects.get().entry("akave").fence == record.entry("akave").fence + 18


def _raise(record: DataUnion) -> bool:
    fence = DataUnion.objects.get(pk=record.pk).entry("akave").fence
    return write_entry(record.pk, "akave", {"fence": fence + 1}, db_now(), exact_fence=fence)


def test_of_many_who_claim_one_job_one_has_it() -> None:
    set_partner()
    hand_in()

    claimed = at_once(*[lambda: len(claims.claim("akave", limit=1))] * 6)

    assert sorted(claimed) == [0, 0, 0, 0, 0, 1]
    assert SyncJob.objects.get(partner="akave").fence == 2


# --- errors


def assert_nothing_is_open() -> None:
    """No transaction and no session of this process is left, here or in the server."""
    assert not connection.in_atomic_block
    assert getattr(connection, "session", None) is None
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
            assert cursor.fetchone() == (0,)


def test_an_error_in_mid_way_leaves_nothing_open_and_names_its_cause() -> None:
    record = hand_in()
    twice = SyncJob(record=record, partner="akave", user_hash=record.user_hash, data_type=record.data_type)

    def half() -> None:
        with in_one_transaction():
            DataUnion.objects.filter(pk=record.pk).update(counted=7)
            twice.save(force_insert=True)

    with pytest.raises(IntegrityError) as caught:
        half()

    assert isinstance(caught.value.__cause__, PyMongoError | sqlite3.Error | psycopg.Error)
    assert "job_once" in str(caught.value.__cause__) or "syncjobs.record_id" in str(caught.value.__cause__)
    assert_nothing_is_open()
    assert SyncJob.objects.filter(partner="akave").count() == 1


@pytest.mark.parametrize("kind", [UNDONE, DONE])
def test_an_error_at_any_write_or_at_the_commit_leaves_nothing_open_and_the_move_is_finished(kind: str) -> None:
    hand_in()
    set_partner()
    number = 0
    while True:
        number += 1
        SyncJob.objects.filter(partner="akave").update(status="pending", lease_until=claims.NEVER, outcome=None)
        [job] = claims.claim("akave", limit=1)
        with failing(kind, number) as unsure:
            error = _catch(lambda job=job: claims.settle([(job, done())], db_now()))
        if not unsure.failed:
            break
        assert isinstance(error, Error)
        assert_nothing_is_open()
        claims.publish(SyncJob.objects.filter(partner="akave"), db_now())
        if not SyncJob.objects.filter(partner="akave").exists():
            break

    assert number > 1 or kind == DONE
    claims.publish(SyncJob.objects.filter(partner="akave"), db_now())
    assert DataUnion.objects.get().entry("akave").is_synced


def _catch(act: Callable[[], object]) -> Exception | None:
    try:
        act()
    except Error as error:
        return error
    return None


# --- the server's name


@contextmanager
def unnamed(target: tuple[str, int]) -> Iterator[int]:
    """Give the port of a relay whose server does not say that it is SecantusDB, but is called as MongoDB is."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with closing(sink):
            while data := _receive(source):
                sink.sendall(data.replace(b"secantusVersion", b"anythingVersion"))

    def accept() -> None:
        while client := _accept(listener):
            server = socket.create_connection(target)
            for ends in ((client, server), (server, client)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with listener:
        yield listener.getsockname()[1]


def _receive(source: socket.socket) -> bytes:
    try:
        return source.recv(65536)
    except OSError:
        return b""


def _accept(listener: socket.socket) -> socket.socket | None:
    try:
        return listener.accept()[0]
    except OSError:
        return None


PROGRAM = """
from tests.mongodb import serve
with serve() as url:
    import os
    os.environ["DATABASE_URL"] = url
    import django
    django.setup()
    from django_mongodb_backend.query import MongoQuery
    print(url, MongoQuery.get_pipeline.__module__)
"""


@pytest.mark.mongodb_only("backend")
@pytest.mark.parametrize(("is_named", "module"), [(True, "tests.apps"), (False, "dataunion_project.pipelines")])
def test_a_real_server_that_is_named_is_met_without_the_work_around(is_named: bool, module: str) -> None:
    parts = urlsplit(os.environ["DATABASE_URL"])
    with unnamed((str(parts.hostname), int(parts.port or 0))) as port:
        url = parts.geturl() if is_named else parts._replace(netloc=f"127.0.0.1:{port}").geturl()
        env = {**os.environ, "MONGODB_TEST_URI": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
        run = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=False)

    assert run.stdout.split() == [url, module], run.stderr


@pytest.mark.mongodb_only("backend")
def test_a_write_across_tables_is_refused_aloud() -> None:
    hand_in()

    with pytest.raises(NotSupportedError):
        SyncJob.objects.filter(record__user_hash="nobody").update(runs=7)
