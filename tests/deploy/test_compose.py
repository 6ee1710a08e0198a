"""docker-compose.yml as a text: valid, closed to the outside, and whole."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from django.conf import settings

from partners import registry
from tests.deploy.containers import ROOT, image_env, read_compose, read_dockerfile

SERVICES: dict[str, dict[str, Any]] = read_compose()["services"]
ONE_SHOT = {"migrate", "mongo-init"}
EVERY = pytest.mark.parametrize("name", sorted(SERVICES))


@pytest.mark.parametrize("file", ["docker-compose.yml"])
def test_it_is_what_the_compose_specification_allows(file: str) -> None:
    schema = json.loads((Path(__file__).parent / "compose-spec.json").read_text())

    jsonschema.validate(yaml.safe_load((ROOT / file).read_text()), schema)


@EVERY
def test_a_service_may_do_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].split(":")[0] not in ("0", "root")
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}


@EVERY
def test_a_service_ends_in_order_and_comes_back(name: str) -> None:
    service = SERVICES[name]

    assert service["init"] is True
    assert service["stop_grace_period"] == "60s"
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")
    assert bool(service["healthcheck"].get("disable")) is (name in ONE_SHOT)


def test_only_web_is_published_and_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {"web": ["${DATAUNION_PUBLISH:-127.0.0.1:8000}:8000"]}
    assert read_compose()["networks"]["data"] == {"internal": True}
    assert {name for name, service in SERVICES.items() if "out" not in service["networks"]} == {
        "mongo",
        "redis",
        "beat",
        *ONE_SHOT,
    }


def test_every_queue_has_a_worker_and_there_are_two_beats() -> None:
    commands = [service["command"] for name, service in SERVICES.items() if name.startswith("worker-")]
    queues = [command[command.index("-Q") + 1] for command in commands]

    assert sorted(queues) == ["dataunion", *sorted(f"sync.{name}" for name in registry.BACKENDS)]
    assert SERVICES["beat"]["deploy"]["replicas"] == 2


def test_what_needs_tables_waits_until_they_are_there() -> None:
    waiting = {name for name, service in SERVICES.items() if "migrate" in service.get("depends_on", {})}

    assert waiting == {"web", "worker-akave", "worker-vana", "worker-webhook", "worker-clock", "beat"}
    conditions = {SERVICES[name]["depends_on"]["migrate"]["condition"] for name in waiting}
    assert conditions == {"service_completed_successfully"}


@EVERY
def test_no_secret_is_in_the_environment(name: str) -> None:
    service = SERVICES[name]
    environment = {**service.get("environment", {}), **image_env()}
    secret = [n for n in environment if any(word in n for word in ("SECRET", "PASSWORD", "KEY", "_URL"))]

    assert [n for n in secret if not n.endswith("_FILE")] == []
    given = {f"/run/secrets/{secret}" for secret in service.get("secrets", ())}
    files = {value for value in environment.values() if value.startswith("/run/secrets/")}
    assert files <= given


def test_the_script_makes_every_secret_once_and_closes_the_folder(tmp_path: Path) -> None:
    script = tmp_path / "make-secrets"
    script.write_text((ROOT / "deploy" / "make-secrets").read_text())
    script.chmod(0o755)

    subprocess.run([script], check=True, stdout=subprocess.DEVNULL)
    first = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    subprocess.run([script], check=True, stdout=subprocess.DEVNULL)

    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == first
    assert {secret["file"] for secret in read_compose()["secrets"].values()} == {f"deploy/secrets/{n}" for n in first}
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert first["redis_password"].strip() in first["redis_url"]
    assert [name for name, text in first.items() if not text] == [
        name for name in first if name.startswith(("akave_", "vana_")) or name in ("email_url", "alert_url")
    ]


def test_images_are_pinned_by_version() -> None:
    images = {service["image"] for service in SERVICES.values()}
    bases = {rest.split()[0] for word, rest in read_dockerfile() if word == "FROM"}

    assert images == {"dataunion:${DATAUNION_VERSION:-local}", "mongo:8.0", "redis:8.2"}
    assert bases == {"python:3.11-slim-bookworm"}


def test_the_image_runs_as_nobody_in_particular_and_checks_its_health_as_compose_does() -> None:
    instructions = read_dockerfile()

    assert [rest for word, rest in instructions if word == "USER"] == ["10001:10001"]
    [health] = [rest for word, rest in instructions if word == "HEALTHCHECK"]
    assert ["CMD", *json.loads(health.partition(" CMD ")[2])] == SERVICES["web"]["healthcheck"]["test"]


def test_the_image_holds_locked_packages_only() -> None:
    installs = [rest for word, rest in read_dockerfile() if word == "RUN" and "install" in rest]

    assert installs == ["/opt/venv/bin/pip install --require-hashes --only-binary=:all: -r /tmp/base.txt"]


def test_a_worker_is_given_more_time_to_be_silent_than_its_longest_task_needs() -> None:
    silent_s = float(SERVICES["worker-akave"]["healthcheck"]["test"][-1])

    assert silent_s >= 10 * settings.DATAUNION.sync_push_s
