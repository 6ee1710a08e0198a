"""What most people would write: one Celery task per record, boto3, the ORM. The other side of `./run bench akave`."""

from __future__ import annotations

import functools
import secrets
import sys
from collections.abc import Sequence
from typing import Any

import boto3
import django
from botocore.config import Config
from celery import Celery
from django.conf import settings

settings.DATABASES["default"]["CONN_MAX_AGE"] = None
django.setup()
from dataunion import vault  # noqa: E402 - needs Django
from dataunion.models import DataUnion, HealthData  # noqa: E402
from partners.akave.encoding import encrypt, new_record_key  # noqa: E402

app = Celery("naive", broker=settings.BROKER_URL, task_ignore_result=True)


@functools.cache
def storage() -> Any:
    """Return this process's client."""
    own = settings.PARTNERS["akave"]["OPTIONS"]
    keys = {"aws_access_key_id": own["access_key_id"], "aws_secret_access_key": own["secret_access_key"]}
    config = Config(
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.client("s3", config=config, endpoint_url=own["endpoint_url"], region_name=own["region"], **keys)


@app.task(name="naive.upload", autoretry_for=(Exception,), retry_backoff=True)  # type: ignore[untyped-decorator]
def upload(pk: str) -> None:
    """Encrypt a record, put it, save where it is."""
    record, data = DataUnion.objects.get(pk=pk), HealthData.objects.get(pk=pk)
    record_key, name = new_record_key(), secrets.token_hex(16)
    message = encrypt(vault.open_sealed(bytes(data.payload), "healthdata", data.pk), record_key)
    answer = storage().put_object(Bucket="health", Key=name, Body=message)
    saved = vault.seal_json({"record_key": record_key}, "sync", record.pk, "akave")
    entry = {"key": name, "etag": answer["ETag"].strip('"'), "retry_data": vault.to_text(saved)}
    record.partners["akave"] = {"is_synced": True, **entry}
    record.save(update_fields=["partners"])


def main(argv: Sequence[str]) -> int:
    """Send a task for each record; return 0."""
    for pk in DataUnion.objects.values_list("pk", flat=True):
        upload.delay(str(pk))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
