"""What the old service had done when its queue was stopped: real objects, real transactions, and its documents."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from partners.akave.adapter import AkavePartner
from partners.akave.encoding import encrypt
from partners.base import Item, Required, Rewind
from partners.errors import NotReady
from partners.testing import MemoryLedger, ask
from partners.testing.driver import merged
from partners.vana.adapter import VanaPartner
from tests.flows.sandboxes import ACCESS_KEY_ID, ACCESS_SECRET, REGION, Sandboxes

# How far vanaState had come: the last of our steps that does the same.
STAGES = {
    "keyed": "",
    "registered": "confirm_register",
    "requested": "confirm_request_proof",
    "proved": "await_proof",
    "refined": "await_refine",
    "rewarded": "confirm_reward",
}
FLAGS = ("file_registered", "contribution_proof_requested", "tee_proof_submitted", "data_refined", "reward_claimed")
PATIENCE_S = 60.0


@dataclass
class OldRecord:
    """One record as the old service left it."""

    data_id: str
    signature: str
    place: dict[str, str]
    fixed: dict[str, str]
    saved: dict[str, Any] = field(default_factory=dict)  # what the steps on chain gave

    def document(self, *, stage: str, akave_is_synced: bool = True, noted: bool = True) -> dict[str, Any]:
        """Return the document; not `noted`: the old service died before it stored what it had done."""
        done = list(STAGES).index(stage) if noted else 0
        flags = {name: n < done for n, name in enumerate(FLAGS)}
        state = {
            "fileId": self.saved.get("file_id") if done else None,
            "fixed_iv": self.fixed["iv"],
            "fixed_ephemeral_key": self.fixed["ephemeral_key"],
            "jobDetails": {"jobId": self.saved["job_id"]} if done > 1 else None,
            **flags,
        }
        retry_data = {"signature": self.signature, "o3Response": self.place, "vanaState": state}
        error = None if akave_is_synced else "All attempts failed"
        return {
            "user_hash": "user-1",
            "data_type": "health",
            "data_id": self.data_id,
            "partners": {
                "akave": {
                    "is_synced": akave_is_synced,
                    "error_message": error,
                    "retry_data": {"signature": self.signature, "o3Response": self.place},
                    **self.place,
                },
                "vana": {"is_synced": False, "error_message": "timeout", "retry_data": retry_data},
            },
        }


class OldService:
    """The old service at work in the sandbox, with the signer's key."""

    def __init__(self, sandboxes: Sandboxes) -> None:
        self._sandboxes = sandboxes
        self._akave = AkavePartner("akave", sandboxes.akave_options())
        self._vana = VanaPartner("vana", sandboxes.vana_options())
        self._ledger = MemoryLedger(self._vana.client.nonce(self._vana.signer, "pending"))

    def close(self) -> None:
        self._akave.close()
        self._vana.close()

    def leave(self, data_id: str, payload: bytes, *, stage: str = "keyed", stored: bool = True) -> OldRecord:
        """Do the work of one record up to a stage of Vana's; not `stored`: the object is lost."""
        key = f"data-{time.time_ns()}.enc"
        place = {"key": key, "url": self._presign(key)}
        fixed = {"iv": secrets.token_hex(16), "ephemeral_key": "1" + secrets.token_hex(32)[1:]}
        record = OldRecord(data_id, "0x" + secrets.token_hex(65), place, fixed)
        if stored:
            message = encrypt(payload, record.signature)
            self._akave.storage.put(self._sandboxes.buckets["health"], key, message, step="upload")
        if STAGES[stage]:
            record.saved = self._go(record, STAGES[stage])
        return record

    def _presign(self, key: str) -> str:
        s3 = boto3.client(
            "s3",
            endpoint_url=self._sandboxes.s3.url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=ACCESS_SECRET,
            config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"),
        )
        try:
            where = {"Bucket": self._sandboxes.buckets["health"], "Key": key}
            url: str = s3.generate_presigned_url("get_object", Params=where, ExpiresIn=3600)
            return url
        finally:
            s3.close()

    def _go(self, record: OldRecord, last: str) -> dict[str, Any]:
        akave = Required(entry={"url": record.place["url"]}, retry_data={"record_key": record.signature})
        names = {"record_id": f"old-{record.data_id}", "partner": "vana", "user_hash": "user-1", "data_type": "health"}
        item = Item(**names, data_id=record.data_id, required={"akave": akave})
        saved: dict[str, Any] = {"fixed": {"url": record.place["url"], **record.fixed}}
        give_up_at = time.monotonic() + PATIENCE_S
        steps = [*self._vana.active_steps("push")]
        step = steps[0]
        while time.monotonic() < give_up_at:
            item = Item(**{**vars(item), "saved": saved})
            (answer,) = ask(self._vana, step, [item], self._ledger)
            if isinstance(answer, NotReady):
                time.sleep(0.05)
                continue
            if isinstance(answer, Exception):
                raise answer
            saved = merged(saved, answer.changes if isinstance(answer, Rewind) else answer)
            if isinstance(answer, Rewind):
                step = answer.step
            elif step == last:
                return saved
            else:
                step = steps[steps.index(step) + 1]
        raise AssertionError(f"the old service did not come past {step}")
