"""Settings: what is missing or wrong stops the start with the variable's name and what it should hold."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dataunion_project.local import embedded_secrets

ROOT = Path(__file__).resolve().parents[2]
KEY = base64.b64encode(b"k" * 32).decode()
DEPLOYED = {
    "DATABASE_URL": "sqlite:////nowhere/x.sqlite3",
    "SECRET_KEY": "s" * 40,
    "DATAUNION_VAULT_KEYS": KEY,
    "DATAUNION_DIGEST_KEY": KEY,
}
SHOW = """
import json
from dataunion_project import settings as s
print(json.dumps({n: getattr(s, n) for n in %r}, default=vars))
"""


def load(tmp_path: Path, *names: str, **env: str) -> tuple[dict[str, Any], str]:
    """Import the settings in a process of their own; return what was asked for, and what it said."""
    kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("COVERAGE_")}
    run = subprocess.run(
        [sys.executable, "-c", SHOW % (names,)],
        env={**kept, "DATAUNION_VAR_DIR": str(tmp_path / "var"), **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return (json.loads(run.stdout) if run.returncode == 0 else {}), run.stderr


def refusal(tmp_path: Path, **env: str) -> str:
    """Return the last line of what a wrong configuration makes the start say."""
    found, said = load(tmp_path, **env)
    assert found == {}, "it started"
    return said.strip().splitlines()[-1].removeprefix("django.core.exceptions.ImproperlyConfigured: ")


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in DEPLOYED.items() if name not in names}


# --- missing


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("SECRET_KEY", "40 or more random characters"),
        ("DATAUNION_VAULT_KEYS", "keys of 32 bytes in base64, newest first, separated by commas"),
        ("DATAUNION_DIGEST_KEY", "a key of 32 bytes in base64"),
    ],
)
def test_a_deployment_without_a_secret_says_which_and_what_it_holds(tmp_path: Path, name: str, holds: str) -> None:
    expected = f"{name} is not set; it should hold {holds} (or {name}_FILE the path of such a file)"

    assert refusal(tmp_path, **without(name)) == expected


def test_a_laptop_needs_nothing_set(tmp_path: Path) -> None:
    found, said = load(tmp_path, "EMBEDDED", "DATABASES", "DEBUG", "VAULT_KEYS")

    assert said == ""
    assert found["EMBEDDED"] is True
    assert found["DATABASES"]["default"]["NAME"] == str(tmp_path / "var" / "dataunion.sqlite3")
    assert found["DEBUG"] is False
    assert len(found["VAULT_KEYS"]) == 1


# --- wrong

SECRET = "PLANTED-MARKER"
WRONG = [
    ("SECRET_KEY", SECRET, "40 or more random characters"),
    ("DATAUNION_VAULT_KEYS", SECRET, "keys of 32 bytes in base64, newest first, separated by commas"),
    ("DATAUNION_VAULT_KEYS", f"{KEY},{SECRET}", "keys of 32 bytes in base64, newest first, separated by commas"),
    ("DATAUNION_VAULT_KEYS", ",", "keys of 32 bytes in base64, newest first, separated by commas"),
    ("DATAUNION_DIGEST_KEY", KEY[:20], "a key of 32 bytes in base64"),
    ("DJANGO_DEBUG", SECRET, "yes or no"),
    ("DATABASE_URL", f"oracle://{SECRET}@h/d", "mongodb://host/name, postgresql://user@host/name or sqlite:///path"),
    ("DATABASE_URL", f"mongodb://u:{SECRET}@h", "mongodb://host/name, postgresql://user@host/name or sqlite:///path"),
    ("DATABASE_URL", "postgresql://u@h", "mongodb://host/name, postgresql://user@host/name or sqlite:///path"),
    ("REDIS_URL", f"amqp://{SECRET}", "the broker's address, redis://host:port/number"),
    ("DATAUNION_BASE_URL", "dataunion.example", "https:// and the name at which staff open it"),
    ("DATAUNION_PARTNERS", "akave,total", "names (a-z, 0-9, _, -) separated by commas"),
    ("DATAUNION_PARTNERS", "a__b", "names (a-z, 0-9, _, -) separated by commas"),
    ("EMAIL_URL", f"imap://{SECRET}@mail", "smtp://, smtp+tls:// or smtp+ssl://user:password@host:port"),
    ("EMAIL_URL", f"smtp://{SECRET}@", "smtp://, smtp+tls:// or smtp+ssl://user:password@host:port"),
    ("DATAUNION_ALERT_EMAILS", f"ops@example.org,{SECRET}", "e-mail addresses separated by commas"),
    ("DATAUNION_ALERT_URL", f"hooks.example/{SECRET}", "the http(s) URL of a Slack-compatible webhook"),
    ("DATAUNION_ALERT_DIGEST_HOUR", "24", "an hour from 0 to 23 (UTC), or off"),
    ("DATAUNION_LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING or ERROR"),
    ("DATAUNION_SYNC_CHUNK", "many", "a whole number above 0"),
    ("DATAUNION_SYNC_CHUNK", "1.5", "a whole number above 0"),
    ("DATAUNION_SYNC_CHUNK", "0", "a whole number above 0"),
    ("DATAUNION_SYNC_LEASE_S", "-1", "a number above 0"),
    ("DATAUNION_SYNC_LEASE_S", "nan", "a number above 0"),
    ("DATAUNION_SYNC_LEASE_S", "inf", "a number above 0"),
]


@pytest.mark.parametrize(("name", "value", "holds"), WRONG)
def test_a_wrong_value_is_named_with_what_it_should_hold_and_not_shown(
    tmp_path: Path, name: str, value: str, holds: str
) -> None:
    found, said = load(tmp_path, **{**DEPLOYED, name: value})

    assert found == {}
    assert said.strip().splitlines()[-1].endswith(f"ImproperlyConfigured: {name} is wrong; it should hold {holds}")
    assert SECRET not in said


# --- files


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{KEY}\n{KEY}\n")

    found, said = load(tmp_path, "VAULT_KEYS", **without("DATAUNION_VAULT_KEYS"), DATAUNION_VAULT_KEYS_FILE=str(file))

    assert (found["VAULT_KEYS"], said) == ([KEY, KEY], "")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, **without("SECRET_KEY"), SECRET_KEY_FILE=str(tmp_path / "none")) == (
        "SECRET_KEY_FILE cannot be read (No such file or directory); "
        "SECRET_KEY should hold 40 or more random characters"
    )


def test_a_file_that_is_no_text_is_named_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"PLANTED-MARKER\xff" * 10)

    _, said = load(tmp_path, **without("SECRET_KEY"), SECRET_KEY_FILE=str(file))

    assert said.strip().endswith(
        "SECRET_KEY_FILE cannot be read (it is no text); SECRET_KEY should hold 40 or more random characters"
    )
    assert SECRET not in said


def test_a_database_named_by_a_file_makes_no_embedded_instance(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("sqlite:////nowhere/x.sqlite3\n")

    assert refusal(tmp_path, DATABASE_URL_FILE=str(file)).startswith("SECRET_KEY is not set")
    assert not (tmp_path / "var").exists()


# --- values


@pytest.mark.parametrize(
    ("url", "engine", "name"),
    [
        ("mongodb://u:p@h1:1,h2:2/union?replicaSet=rs", "django_mongodb_backend", "union"),
        ("mongodb+srv://cluster.example/union", "django_mongodb_backend", "union"),
        ("postgresql://u:p@h/union", "django.db.backends.postgresql", "union"),
        ("sqlite:////data/union.sqlite3", "django.db.backends.sqlite3", "/data/union.sqlite3"),
    ],
)
def test_databases_are_named_by_their_address(tmp_path: Path, url: str, engine: str, name: str) -> None:
    found, _ = load(tmp_path, "DATABASES", "EMBEDDED", **{**DEPLOYED, "DATABASE_URL": url})

    assert (found["DATABASES"]["default"]["ENGINE"], found["DATABASES"]["default"]["NAME"]) == (engine, name)
    assert found["EMBEDDED"] is False


def test_a_partners_options_come_from_variables_and_files_of_its_name(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cret\n")

    found, _ = load(
        tmp_path,
        "PARTNERS",
        **DEPLOYED,
        DATAUNION_PARTNERS="akave, mine",
        AKAVE_REGION="r",
        AKAVE_SECRET_ACCESS_KEY_FILE=str(file),
        MINE_BACKEND="webhook",
        MINE_URL="https://x.example",
    )

    assert found["PARTNERS"] == {
        "akave": {"BACKEND": "akave", "OPTIONS": {"region": "r", "secret_access_key": "s3cret"}},
        "mine": {"BACKEND": "webhook", "OPTIONS": {"url": "https://x.example"}},
    }


def test_numbers_are_read_with_their_kind_and_empty_means_the_default(tmp_path: Path) -> None:
    given = {"DATAUNION_SYNC_CHUNK": "7", "DATAUNION_SYNC_LEASE_S": "8.5", "DATAUNION_SYNC_TICK_S": ""}

    found, _ = load(tmp_path, "DATAUNION", **DEPLOYED, **given)

    assert [found["DATAUNION"][n] for n in ("sync_chunk", "sync_lease_s", "sync_tick_s")] == [7, 8.5, 5.0]


@pytest.mark.parametrize(("url", "secure"), [("https://staff.example", True), ("http://127.0.0.1:8000/", False)])
def test_cookies_are_for_https_where_staff_use_it(tmp_path: Path, url: str, secure: bool) -> None:
    found, _ = load(tmp_path, "SESSION_COOKIE_SECURE", "BASE_URL", **DEPLOYED, DATAUNION_BASE_URL=url)

    assert found == {"SESSION_COOKIE_SECURE": secure, "BASE_URL": url.rstrip("/")}


# --- the embedded instance


def test_embedded_secrets_are_made_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    first = embedded_secrets(tmp_path / "new")

    assert embedded_secrets(tmp_path / "new") == first
    assert set(first) == {"SECRET_KEY", "DATAUNION_VAULT_KEYS", "DATAUNION_DIGEST_KEY"}
    assert stat.S_IMODE((tmp_path / "new" / "secrets.env").stat().st_mode) == 0o600
    assert os.listdir(tmp_path / "new") == ["secrets.env"]


def test_processes_that_start_at_once_share_one_set_of_secrets(tmp_path: Path) -> None:
    folder = str(tmp_path / "x")
    program = "import sys, pathlib; from dataunion_project.local import embedded_secrets as made; "
    program += "print(made(pathlib.Path(sys.argv[1])))"
    env = {**os.environ, "DATAUNION_VAR_DIR": str(tmp_path / "y")}
    runs = [
        subprocess.Popen([sys.executable, "-c", program, folder], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]

    found = {run.communicate(timeout=120)[0] for run in runs}

    assert len(found) == 1
    assert "SECRET_KEY" in found.pop()


# --- loaders


def test_a_loader_and_its_options_come_from_variables_and_files_of_its_types_name(tmp_path: Path) -> None:
    secret = tmp_path / "uri"
    secret.write_text("mongodb://reader:hidden@old/union\n")

    found, _ = load(
        tmp_path,
        "LOADERS",
        DATAUNION_LOADER_HEALTH="dataunion.loaders.mongodb.MongoLoader",
        DATAUNION_LOADER_HEALTH_URI_FILE=str(secret),
        DATAUNION_LOADER_HEALTH_ID_FIELD="healthDataId",
        DATAUNION_LOADER_HEALTH_USER_FIELD="",
        **DEPLOYED,
    )

    options = {"uri": "mongodb://reader:hidden@old/union", "id_field": "healthDataId"}
    assert found["LOADERS"] == {"health": {"BACKEND": "dataunion.loaders.mongodb.MongoLoader", "OPTIONS": options}}


def test_an_option_without_its_loader_and_a_name_of_no_type_are_kept_to_be_told_of(tmp_path: Path) -> None:
    found, _ = load(tmp_path, "LOADERS", DATAUNION_LOADER_CHECKIN_URI="x", DATAUNION_LOADER_SLEEP="y.Z", **DEPLOYED)

    assert found["LOADERS"] == {
        "checkin": {"BACKEND": "", "OPTIONS": {"uri": "x"}},
        "sleep": {"BACKEND": "", "OPTIONS": {}},
    }


@pytest.mark.parametrize(("given", "tracks"), [("", True), ("on", True), ("off", False)])
def test_tracking_is_on_unless_it_is_off(tmp_path: Path, given: str, tracks: bool) -> None:
    found, _ = load(tmp_path, "DATAUNION_TRACKING", DATAUNION_TRACKING=given, **DEPLOYED)

    assert found["DATAUNION_TRACKING"] is tracks


# --- e-mail and alerts


def test_without_a_mail_server_mail_goes_nowhere_and_nobody_is_told(tmp_path: Path) -> None:
    names = ("EMAIL_BACKEND", "CAN_SEND_EMAIL", "ALERT_EMAILS", "ALERT_URL", "ALERT_DIGEST_HOUR")

    found, _ = load(tmp_path, *names, **DEPLOYED)

    assert list(found.values()) == ["django.core.mail.backends.dummy.EmailBackend", False, [], "", 7]


def test_a_mail_server_is_named_by_its_address(tmp_path: Path) -> None:
    names = (
        "EMAIL_HOST",
        "EMAIL_PORT",
        "EMAIL_HOST_USER",
        "EMAIL_HOST_PASSWORD",
        "EMAIL_USE_TLS",
        "DEFAULT_FROM_EMAIL",
    )
    given = {"EMAIL_URL": "smtp+tls://us%40er:p%3Aw@mail.example:587", "DATAUNION_BASE_URL": "https://union.example"}

    found, _ = load(tmp_path, *names, "CAN_SEND_EMAIL", **DEPLOYED, **given)

    assert list(found.values()) == ["mail.example", 587, "us@er", "p:w", True, "dataunion@union.example", True]


def test_the_alerts_webhook_may_come_from_a_file_and_the_digest_may_be_off(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("https://hooks.example/T0/B0/secret\n")
    given = {"DATAUNION_ALERT_URL_FILE": str(file), "DATAUNION_ALERT_DIGEST_HOUR": "off"}

    found, _ = load(
        tmp_path,
        "ALERT_URL",
        "ALERT_DIGEST_HOUR",
        "ALERT_EMAILS",
        **DEPLOYED,
        **given,
        DATAUNION_ALERT_EMAILS="a@b, c@d",
    )

    assert list(found.values()) == ["https://hooks.example/T0/B0/secret", None, ["a@b", "c@d"]]
