"""Who signs in: staff (User) and other services (ApiKey)."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models

from dataunion.models._fields import Key


class User(AbstractUser):
    """A person of the staff."""

    id = Key()

    class Meta:
        db_table = "users"
        verbose_name = "user"
        indexes = [models.Index(fields=["username"], name="user_username")]


class ApiKey(models.Model):
    """A service's key: only a digest of the secret is kept. Shape of scopes: ["ingest", "read"]."""

    id = Key()
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)  # SHA-256 of 256 random bits, hex
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "apikeys"
        verbose_name = "API key"
        indexes = [models.Index(fields=["prefix"], name="apikey_prefix")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
