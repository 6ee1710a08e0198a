"""A running S3 sandbox, adapters that speak to it, and a look into its buckets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from partners.akave.adapter import AkavePartner
from partners.sandbox.control import Server
from partners.sandbox.s3 import start_s3

ACCESS = {"access_key_id": "AKIASANDBOX", "secret_access_key": "sandbox-secret-key"}


@pytest.fixture(scope="module")
def running_s3() -> Iterator[Server]:
    server = start_s3(access_key_id=ACCESS["access_key_id"], secret=ACCESS["secret_access_key"])
    yield server
    server.stop()


@pytest.fixture
def s3(running_s3: Server) -> Iterator[Server]:
    yield running_s3
    running_s3.faults.disarm()


@pytest.fixture(scope="module")
def bucket_client(running_s3: Server) -> Iterator[Any]:
    """Return a client of our own with which tests look into buckets and meddle with objects."""
    client = boto3.client(
        "s3",
        endpoint_url=running_s3.url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS["access_key_id"],
        aws_secret_access_key=ACCESS["secret_access_key"],
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
    )
    yield client
    client.close()


@pytest.fixture
def stored(bucket_client: Any) -> Callable[[], dict[str, bytes]]:
    """Return a function that tells what both buckets hold, by bucket/key."""

    def look() -> dict[str, bytes]:
        found = {}
        for bucket in ("health", "checkin"):
            for entry in bucket_client.list_objects_v2(Bucket=bucket).get("Contents", []):
                body = bucket_client.get_object(Bucket=bucket, Key=entry["Key"])["Body"]
                found[f"{bucket}/{entry['Key']}"] = body.read()
        return found

    return look


@pytest.fixture
def make_partner(s3: Server) -> Iterator[Callable[..., AkavePartner]]:
    made: list[AkavePartner] = []

    def make(clock: Callable[[], float] | None = None, **changes: str) -> AkavePartner:
        config = {"endpoint_url": s3.url, "region": "us-east-1", **ACCESS, **changes}
        made.append(AkavePartner("akave", config, **({"clock": clock} if clock else {})))
        return made[-1]

    yield make
    for partner in made:
        partner.close()
