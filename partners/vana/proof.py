"""Having a file proved: one paid request at the TeePool, the TEE told to run it, the proof that is ours found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from partners.base import Item, Rewind, Saved, StepResult
from partners.errors import MisconfiguredError, NotReady, PartnerError, PermanentError, TransientError
from partners.http import HttpClient
from partners.vana import abi
from partners.vana.chain import LARGEST, Action, Receipt, Refused
from partners.vana.client import CANCELED, COMPLETED, SUBMITTED, Job, Proof, Read, VanaClient
from partners.vana.encoding import ecies_seal, parse_public_key
from partners.vana.options import Settings
from partners.vana.registration import PAUSED, Keys, is_same, paused
from partners.vana.signature import find_signer
from partners.vana.transaction import doubt

SEED = "Please sign to retrieve your encryption key"
AGAIN = "prepare_request_proof"
MAX_ROUNDS = 5  # requests paid for one proof before a person is asked
ASKED_TIMES = 4  # a TEE may lose its work without a word; it is asked so often before another one is


@dataclass(frozen=True)
class ProofRequest:
    """The purpose "the TeePool holds one live request of ours for this file". Every request costs a fee."""

    client: VanaClient
    settings: Settings
    name: str = "request_proof"

    def look(self, item: Item) -> Action | Saved:
        """Find our request; ask for one, or cancel the one whose TEE never answered, where there is none alive."""
        jobs, fee_wei = self.client.jobs_of(item.saved["file_id"])
        ours = [job for job in jobs if is_same(job.owner, self.settings.signer)]
        done = [job for job in ours if job.status == COMPLETED]
        waiting = [job for job in ours if job.status == SUBMITTED]
        if done:
            return {"job_id": done[0].job_id}
        if not waiting:
            data = abi.REQUEST_PROOF.encode(item.saved["file_id"])
            return Action(to=self.client.tee_pool, data=data, value_wei=fee_wei)
        if is_overdue(self.client, self.settings, waiting[0], self.client.head().timestamp):
            return Action(to=self.client.tee_pool, data=abi.CANCEL_JOB.encode(waiting[0].job_id))
        return {"job_id": waiting[0].job_id}

    def read(self, item: Item, receipt: Receipt) -> Saved | None:
        """Take our request from the receipt: a node that lags must not make us pay twice."""
        for log in receipt.events(abi.JOB_SUBMITTED, topics=3):
            if int(log.topics[2], 16) == item.saved["file_id"]:
                return {"job_id": int(log.topics[1], 16)}
        return None

    def refuse(self, refused: Refused) -> PartnerError:
        """Say what a refusal of the TeePool asks for."""
        where = f"{self.settings.name}: request_proof: the TeePool refused"
        if refused.name == PAUSED:
            return paused(where, self.settings)
        if refused.name == "NoActiveTee":
            return TransientError(f"{where}, no TEE is active; Vana must add one", code=refused.name)
        if refused.name == "CancelDelayNotPassed":
            return NotReady(f"{where}, the old request cannot be cancelled yet", after_s=self.settings.poll_s)
        cause = refused.name or "without a reason"
        return TransientError(f"{where}: {cause}; looking again", code=refused.name)


@dataclass(frozen=True)
class TeeRun:
    """Telling the TEE to prove, and finding what it proved."""

    client: VanaClient
    settings: Settings
    keys: Keys
    http: HttpClient

    def start(self, item: Item) -> StepResult:
        """Post RunProof to the TEE of our request; the same again does no harm."""
        [job], now = self.client.jobs([item.saved["job_id"]])
        if job.status == COMPLETED:
            return {}
        if job.status == CANCELED:  # by hand: a person wants another one
            return Rewind(step=AGAIN, changes={"proof_rounds": None})
        if job.status != SUBMITTED:
            raise self._not_ready("the node does not know our request yet")
        asked: list[Read] = [(self.client.tee_pool, abi.TEES, (job.tee,)), (self.client.dlp, abi.PROOF_INSTRUCTION, ())]
        (_, url, _, _, _, _, tee_key), instruction = self.client.read_many(asked)
        body = self._body(item, job, instruction) | self._key_for(tee_key, self.keys.password(item))
        try:
            self._demand_tls(url)
            self.http.request("POST", f"{url.rstrip('/')}/RunProof", json=body, step="run_proof", unknown_on_lost=True)
        except PartnerError as error:
            return self._not_run(item, job, error)
        return {"asked_at": now}

    def wait(self, item: Item) -> StepResult:
        """Wait for the proof; then keep what it says, and forget the secrets that made it possible."""
        [job], now = self.client.jobs([item.saved["job_id"]])
        if job.status == COMPLETED:
            try:
                proof = self._find_ours(item, job)
            except PermanentError as error:
                doubts = item.saved.get("doubts", 0) + 1
                return doubt(error, doubts, self.settings, "await_proof", {"doubts": doubts})
            score, dlp_id, _, proof_url, _ = proof.data
            if dlp_id > LARGEST:
                message = (
                    f"{self.settings.name}: await_proof: the proof's dlp_id is beyond 64 bits; ask the DLP's owner"
                )
                raise PermanentError(message, kind="proof")
            told = {"index": proof.index, "score": str(score), "dlp_id": dlp_id, "url": proof_url}
            return {"proof": told, "ecies": None, "asked_at": None, "proof_rounds": None, "doubts": None}
        if job.status == CANCELED:
            return Rewind(step=AGAIN, changes={"proof_rounds": None})
        if is_overdue(self.client, self.settings, job, now):
            if _rounds(item) >= MAX_ROUNDS:
                self.start(item)  # so that a later look may find it done
            return self._another(item, job)
        if now > item.saved.get("asked_at", now) + self.settings.tee_timeout_s / ASKED_TIMES:
            return Rewind(step="run_proof")
        raise self._not_ready("the TEE has not proved the file yet")

    def _body(self, item: Item, job: Job, instruction: str) -> dict[str, Any]:
        recomputed = [
            {
                "address": one["account"],
                "public_key": one["public_key"],
                "iv": one["iv"],
                "ephemeral_key": one["ephemeral_key"],
            }
            for one in item.saved["ecies"]
            if is_same(one["account"], self.client.dlp)
        ]
        return {
            "job_id": job.job_id,
            "file_id": item.saved["file_id"],
            "nonce": str(int(item.once_id[:12], 16)),
            "proof_url": instruction,
            "encryption_seed": SEED,
            "env_vars": {},
            "validate_permissions": recomputed,
        }

    def _key_for(self, tee_key: str, password: str) -> dict[str, str]:
        """Return the record's key for the TEE: encrypted where it has a public key, else in clear."""
        try:
            public_key = parse_public_key(tee_key)
        except ValueError:
            return {"encryption_key": password}
        return {"encrypted_encryption_key": ecies_seal(public_key, password.encode()).blob}

    def _demand_tls(self, url: str) -> None:
        """Refuse a TEE that plain http leads to: the URL comes from the chain, the record's key goes there."""
        if not url.lower().startswith("https://") and not self.settings.allow_private:
            name = self.settings.name
            raise MisconfiguredError(
                f"{name}: run_proof: the TEE has no https URL; set allow_private to yes if it may have the key anyway"
            )

    def _another(self, item: Item, job: Job) -> Rewind:
        """Go back to cancel the request and pay another one; after so many a person must look at it."""
        rounds = _rounds(item)
        if rounds < MAX_ROUNDS:
            return Rewind(step=AGAIN, changes={"proof_rounds": rounds})
        raise TransientError(
            f"{self.settings.name}: proof: {rounds} requests in a row brought no proof; see to the TeePool's TEEs and "
            f"retry, or cancel request {job.job_id} at the TeePool to have another one paid"
        )

    def _not_run(self, item: Item, job: Job, error: PartnerError) -> Rewind:
        """Give a TEE that refuses its time, then ask another; a TEE is not ours, so no answer of it is final."""
        if is_overdue(self.client, self.settings, job, self.client.head().timestamp):
            return self._another(item, job)
        if isinstance(error, PermanentError | MisconfiguredError):
            raise self._not_ready(f"{error.message}; another TEE is asked after tee_timeout_s") from None
        raise error

    def _find_ours(self, item: Item, job: Job) -> Proof:
        """Find the proof that our request's TEE signed with the DLP's instruction; strangers may have added others."""
        instruction = self.client.read(self.client.dlp, abi.PROOF_INSTRUCTION)
        for proof in self.client.proofs(item.saved["file_id"]):
            signer = find_signer(abi.pack_proof(item.saved["url"], proof.data), proof.signature)
            if signer and is_same(signer, job.tee) and proof.data[4] == instruction:
                return proof
        raise PermanentError(
            f"{self.settings.name}: await_proof: request {job.job_id} is completed, but no proof of the file is signed "
            "by its TEE for the DLP's instruction; ask the DLP's owner",
            kind="proof",
        )

    def _not_ready(self, why: str) -> NotReady:
        at_most_s = 4 * self.settings.tee_timeout_s
        return NotReady(f"{self.settings.name}: proof: {why}", after_s=self.settings.poll_s, at_most_s=at_most_s)


def _rounds(item: Item) -> int:
    """Return how many requests have been paid in vain once this one is given up."""
    return int(item.saved.get("proof_rounds", 0)) + 1


def is_overdue(client: VanaClient, settings: Settings, job: Job, now: int) -> bool:
    """Say whether a request has waited too long, by the chain's clock, and may be cancelled."""
    waited_s = now - job.added_at_s
    if job.status != SUBMITTED or waited_s <= settings.tee_timeout_s:
        return False
    delay_s: int = client.read(client.tee_pool, abi.CANCEL_DELAY)
    return waited_s > delay_s
