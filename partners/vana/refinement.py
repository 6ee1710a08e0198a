"""Having a file refined by the DLP's refinement service, API version 2 with answers of version 1 understood."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from partners.base import Item, Rewind, StepResult
from partners.errors import MisconfiguredError, NotReady, PermanentError, TransientError
from partners.http import HttpClient
from partners.vana import abi
from partners.vana.client import VanaClient
from partners.vana.options import Settings
from partners.vana.registration import Keys

VERSION = {"Vana-Accept-Version": "v2"}
WRONG_HERE = {"REFINER_NOT_FOUND", "REFINER_DLP_PUBLIC_KEY_NOT_FOUND"}
FINAL = {"FILE_DECRYPTION_FAILED", "INVALID_ENCRYPTION_KEY", "KEY_DERIVATION_FAILED"}
MAX_TRIES = 3


@dataclass(frozen=True)
class Refinement:
    """The chain is the truth: a refinement that it shows is done, whoever asked for it."""

    client: VanaClient
    settings: Settings
    keys: Keys
    http: HttpClient

    def start(self, item: Item) -> StepResult:
        """Ask the service, unless the chain shows a refinement; asking twice only updates it."""
        if self._find(item):
            return {}
        body = {
            "file_id": item.saved["file_id"],
            "refiner_id": self.settings.refiner_id,
            "encryption_key": self.keys.password(item),
            "env_vars": {},
        }
        url = f"{self.settings.refiner_url}/refine"
        answer = self.http.request("POST", url, json=body, headers=VERSION, step="refine", unknown_on_lost=True)
        told = answer.json_object()
        return {"refine_job": str(told["job_id"])} if told.get("job_id") else {}

    def wait(self, item: Item) -> StepResult:
        """Wait until the chain shows the refinement, or the service says that it failed."""
        url = self._find(item)
        if url:
            return {
                "refinement": {"refiner_id": self.settings.refiner_id, "url": url},
                "refine_job": None,
                "refine_tries": None,
            }
        job_id = item.saved.get("refine_job")
        told = self._ask(job_id) if job_id else {}
        if told is None:
            return Rewind(step="refine", changes={"refine_job": None})
        if told.get("status") == "failed":
            return self._failed(item, _code_of(str(told.get("error") or "")))
        at_most_s = self.settings.refine_timeout_s
        raise NotReady(
            f"{self.settings.name}: refine: the refinement is not on chain yet",
            after_s=self.settings.poll_s,
            at_most_s=at_most_s,
        )

    def _find(self, item: Item) -> str:
        found = self.client.read(
            self.client.registry, abi.FILE_REFINEMENTS, item.saved["file_id"], self.settings.refiner_id
        )
        return str(found)

    def _ask(self, job_id: str) -> dict[str, Any] | None:
        """Return what the service says of its job; None when it has forgotten it."""
        url = f"{self.settings.refiner_url}/refine/{job_id}"
        try:
            answer = self.http.request("GET", url, headers=VERSION, step="await_refine", unknown_on_lost=False)
        except PermanentError as error:
            if error.http_status == 404:
                return None
            raise
        return answer.json_object()

    def _failed(self, item: Item, code: str) -> Rewind:
        """Ask again some times, then say what is wrong; even then ask, so that a later look may find it done."""
        tries = item.saved.get("refine_tries", 0) + 1
        if tries < MAX_TRIES:
            return Rewind(step="refine", changes={"refine_job": None, "refine_tries": tries}, after_s=self._pause_s)
        self.start(item)
        where = f"{self.settings.name}: refine: the service answered {code or 'without a code'}"
        if code in WRONG_HERE:
            raise MisconfiguredError(f"{where}; compare refiner_id with the registry", code=code)
        if code in FINAL:
            raise PermanentError(f"{where}; the file cannot be opened with its key", kind="refinement", code=code)
        raise TransientError(f"{where}; asked once more", code=code)

    @property
    def _pause_s(self) -> float:
        return 5 * self.settings.poll_s


def _code_of(error: str) -> str:
    """Return the code in an error's text; the rest may quote the file or its key, which the service both holds."""
    known = next((code for code in (*WRONG_HERE, *FINAL) if code in error), "")
    first = error.partition(":")[0]
    return known or (first if re.fullmatch("[A-Z_]{3,60}", first) else "")
