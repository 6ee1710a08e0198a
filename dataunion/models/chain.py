"""Signed transactions and their signers: the book behind partners.base.Ledger."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from dataunion.models._fields import Key
from dataunion.models.job import NEVER


class Signer(models.Model):
    """An address that signs for us. Whoever holds its lease is the only one who signs."""

    id = Key()
    chain_id = models.BigIntegerField()
    address = models.CharField(max_length=42)
    lease_token = models.CharField(max_length=32, default="", blank=True)
    lease_until = models.DateTimeField(default=NEVER)
    mined = models.BigIntegerField(default=0)  # the chain's count of our mined transactions, as last seen
    pending = models.BigIntegerField(default=0)  # the node's next nonce, as last seen

    class Meta:
        db_table = "signers"
        constraints = [models.UniqueConstraint(fields=["chain_id", "address"], name="signer_once")]
        indexes = [models.Index(fields=["chain_id", "address"], name="signer_address")]

    def __str__(self) -> str:
        return self.address


class ChainTx(models.Model):
    """One nonce of one signer, and what was signed for it. Inserting the row is the allocation of the nonce."""

    id = Key()
    chain_id = models.BigIntegerField()
    signer = models.CharField(max_length=42)
    nonce = models.BigIntegerField()
    record = models.UUIDField()
    partner = models.CharField(max_length=40)
    step = models.CharField(max_length=40)
    generation = models.IntegerField()
    raw = models.BinaryField()  # the newest signed bytes, sealed
    hashes = models.JSONField(default=list)  # every hash ever signed for this nonce, oldest first
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "chaintxs"
        verbose_name = "chain transaction"
        constraints = [
            models.UniqueConstraint(fields=["chain_id", "signer", "nonce"], name="tx_nonce_once"),
            models.UniqueConstraint(fields=["record", "partner", "step", "generation"], name="tx_step_once"),
        ]
        indexes = [
            models.Index(fields=["chain_id", "signer", "nonce"], name="tx_nonce"),
            models.Index(fields=["record", "partner", "step", "generation"], name="tx_step"),
        ]

    def __str__(self) -> str:
        return f"{self.signer} nonce {self.nonce}"
