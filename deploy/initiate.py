"""Make the MongoDB servers of DATABASE_URL one replica set, and its user; run again, it adds what is missing.

The servers were started with --replSet; the first one has a user `root`, whose password is in MONGO_ROOT_PASSWORD_FILE.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

_PATIENCE_S = 120.0
_NOT_YET_INITIALIZED, _UNKNOWN_USER = 94, 11


def main() -> str:
    """Do it; return what stands now."""
    url = urlsplit(Path(os.environ["DATABASE_URL_FILE"]).read_text().strip())
    password = Path(os.environ["MONGO_ROOT_PASSWORD_FILE"]).read_text().strip()
    hosts = url.netloc.rpartition("@")[2].split(",")
    name = parse_qs(url.query)["replicaSet"][0]
    with _connect(hosts[0], password) as first:
        _initiate(first, name, hosts[0])
        _await_primary(first)
    whole: MongoClient[dict[str, Any]] = MongoClient(hosts, replicaSet=name, username="root", password=password)
    with whole:
        for host in hosts[1:]:
            _add(whole, host)
        _admit(whole[url.path.strip("/")], unquote(url.username or ""), unquote(url.password or ""))
    return f"replica set {name}: {', '.join(hosts)}; user {url.username} may read and write {url.path.strip('/')}"


def _connect(host: str, password: str) -> MongoClient[dict[str, Any]]:
    """Connect to one server as root; it may still be starting, and making that very user."""
    give_up_at = time.monotonic() + _PATIENCE_S
    while True:
        client: MongoClient[dict[str, Any]] = MongoClient(
            host, directConnection=True, username="root", password=password, serverSelectionTimeoutMS=5000
        )
        try:
            client.admin.command("usersInfo", "root")
            return client
        except PyMongoError:
            client.close()
            if time.monotonic() > give_up_at:
                raise
            time.sleep(1)


def _initiate(client: MongoClient[dict[str, Any]], name: str, host: str) -> None:
    try:
        client.admin.command("replSetGetStatus")
    except OperationFailure as error:
        if error.code != _NOT_YET_INITIALIZED:
            raise
        client.admin.command("replSetInitiate", {"_id": name, "members": [{"_id": 0, "host": host}]})


def _await_primary(client: MongoClient[dict[str, Any]]) -> None:
    give_up_at = time.monotonic() + _PATIENCE_S
    while not is_in_service(client.admin.command("hello")):
        if time.monotonic() > give_up_at:
            raise TimeoutError("the replica set has no primary; the servers' logs say why")
        time.sleep(0.5)


def is_in_service(hello: dict[str, Any]) -> bool:
    """Say whether this server, or another of its set that it knows, takes writes."""
    return bool(hello.get("isWritablePrimary") or hello.get("primary"))


def _add(client: MongoClient[dict[str, Any]], host: str) -> None:
    """Add one member; MongoDB takes one at a time."""
    config = client.admin.command("replSetGetConfig")["config"]
    wanted = with_member(config, host)
    if wanted is not None:
        client.admin.command("replSetReconfig", wanted)


def with_member(config: dict[str, Any], host: str) -> dict[str, Any] | None:
    """Return the configuration with this member, None where it has it."""
    members: Sequence[dict[str, Any]] = config["members"]
    if host in {member["host"] for member in members}:
        return None
    added = {"_id": 1 + max(member["_id"] for member in members), "host": host}
    return {**config, "version": config["version"] + 1, "members": [*members, added]}


def _admit(database: Any, user: str, password: str) -> None:
    """Make the user, or give it this password."""
    facts = {"pwd": password, "roles": [{"role": "readWrite", "db": database.name}]}
    try:
        database.command("updateUser", user, **facts)
    except OperationFailure as error:
        if error.code != _UNKNOWN_USER:
            raise
        database.command("createUser", user, **facts)


if __name__ == "__main__":
    sys.stdout.write(f"{main()}\n")
