"""What the TEE and the refinement service share: jobs done behind the answer, and files fetched and opened."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Request

from partners.akave.encoding import DecryptionError, decrypt
from partners.sandbox.control import Sandbox, ask
from partners.sandbox.onchain import OnchainError

FETCH_S, TRIES, PAUSE_S = 10.0, 10, 0.2
THREADS = 4  # each does one job at a time, and waits until its transaction is mined
State = dict[str, Any]


class WorkError(Exception):
    """A job cannot be done; `code` is the service's own name of the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class WorkSandbox(Sandbox):
    """A sandbox server that answers at once and works in threads; `GET /_sandbox/jobs` shows how far it is."""

    def __init__(self, threads: int = THREADS) -> None:
        super().__init__()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sandbox-work")
        self._lock = threading.Lock()
        self._jobs: dict[str, State] = {}

    def views(self) -> dict[str, Callable[[], Any]]:
        """Add the jobs."""
        return {**super().views(), "jobs": self._all_jobs}

    def close(self) -> None:
        """Wait for the threads; they see that the server is stopping."""
        self._pool.shutdown(cancel_futures=True)

    def start(self, job_id: str, work: Callable[[], str]) -> None:
        """Do `work`, which returns a transaction's hash, in a thread, unless this job is being worked on already."""
        with self._lock:
            if self._jobs.get(job_id, {}).get("status") == "processing":
                return
            self._jobs[job_id] = {"status": "processing", "error": None, "transaction_hash": None}
        self._pool.submit(self._run, job_id, work)

    def job(self, job_id: str) -> State | None:
        """Return a copy of a job's state, or None."""
        with self._lock:
            return dict(self._jobs[job_id]) if job_id in self._jobs else None

    def open_file(self, url: str, password: str) -> bytes:
        """Fetch and decrypt a file. Raises WorkError."""
        for _ in range(TRIES):
            message = ask(url, timeout_s=FETCH_S)
            if message is not None:
                return _decrypt(message, password)
            self.hold(PAUSE_S)
        raise WorkError("FILE_DOWNLOAD_FAILED", f"the file could not be fetched in {TRIES} tries")

    def _run(self, job_id: str, work: Callable[[], str]) -> None:
        try:
            done = {"status": "completed", "transaction_hash": work()}
        except (WorkError, OnchainError, ValueError, TypeError, LookupError) as error:  # the request is a stranger's
            done = {"status": "failed", "error": str(error)}
        with self._lock:
            self._jobs[job_id].update(done)

    def _all_jobs(self) -> dict[str, State]:
        with self._lock:
            return {job_id: dict(state) for job_id, state in self._jobs.items()}


def _decrypt(message: bytes, password: str) -> bytes:
    try:
        return decrypt(message, password)
    except DecryptionError as error:
        raise WorkError("FILE_DECRYPTION_FAILED", str(error)) from error


def read_fields(request: Request, kinds: dict[str, type]) -> dict[str, Any]:
    """Return the JSON object sent, which must hold these fields. Raises BadRequest naming what is missing or wrong."""
    sent = request.get_json(force=True)
    if not isinstance(sent, dict):
        raise BadRequest("the body should be a JSON object")
    for name, kind in kinds.items():
        if not isinstance(sent.get(name), kind):
            raise BadRequest(f"{name} should be of type {kind.__name__}")
    return sent
