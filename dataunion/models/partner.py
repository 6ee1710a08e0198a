"""Partner: one row per partner, over the defaults of the settings. Staff change it without a deploy."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from dataunion.conf import conf
from dataunion.models._fields import Key
from dataunion.models.job import NEVER
from dataunion.state import PARTNER_NAME_PATTERN, PartnerState


class Partner(models.Model):
    """A partner's switches, limits, configuration and health.

    `config` holds plain options, `secrets` the sealed ones, both over the settings' OPTIONS. The gate is a short
    lease under which claims hands out in-flight places, rate tokens and the half-open probe.
    """

    id = Key()
    name = models.CharField(max_length=40, unique=True, validators=[RegexValidator(f"^{PARTNER_NAME_PATTERN}$")])
    adapter = models.CharField(max_length=100)  # short name in partners.registry, or a dotted path
    state = models.CharField(max_length=8, default=PartnerState.ON, choices=[(s.value, s.value) for s in PartnerState])
    state_reason = models.TextField(default="", blank=True)
    state_by = models.CharField(max_length=150, default="", blank=True)
    state_at = models.DateTimeField(null=True, blank=True)
    data_types = models.JSONField(default=list, blank=True)  # empty: all

    max_in_flight = models.IntegerField(default=200)  # jobs held by workers at once
    per_second = models.FloatField(default=0.0)  # jobs claimed a second; 0: no limit
    max_attempts = models.IntegerField(default=12)
    backoff_base_s = models.FloatField(default=5.0)
    backoff_cap_s = models.FloatField(default=6 * 3600.0)

    config = models.JSONField(default=dict, blank=True)
    secrets = models.BinaryField(null=True, editable=False)
    version = models.BigIntegerField(default=1, editable=False)  # grows when the configuration changes

    gate_token = models.CharField(max_length=32, default="", blank=True, editable=False)
    gate_until = models.DateTimeField(default=NEVER, editable=False)
    rate_tokens = models.FloatField(default=0.0, editable=False)
    rate_at = models.DateTimeField(default=NEVER, editable=False)
    breaker = models.JSONField(null=True, editable=False)
    not_before = models.DateTimeField(default=NEVER, editable=False)  # the partner asked for peace until then
    checked_version = models.BigIntegerField(default=0, editable=False)  # the version whose check() passed
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        db_table = "partners"
        indexes = [models.Index(fields=["name"], name="partner_name")]

    def __str__(self) -> str:
        return self.name

    def takes(self, data_type: str) -> bool:
        """Say whether new records of this type are enrolled."""
        return self.state != PartnerState.OFF and (not self.data_types or data_type in self.data_types)

    def wants_peace(self, now: datetime) -> bool:
        """Say whether the partner asked for peace; for longer than it may ask means a clock that ran ahead."""
        longest = timedelta(seconds=conf().sync_retry_after_cap_s + conf().sync_tick_s)
        return now < self.not_before <= now + longest
