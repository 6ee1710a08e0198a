"""Our signatures are those of botocore, byte for byte."""

from __future__ import annotations

from datetime import UTC, datetime

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from partners.akave.signature import Signer, quote_path

SECRET, REGION, HOST = "secret/with+signs", "akave-network", "o3.example:8443"
names = st.text(min_size=1, max_size=30)
times = st.integers(1_600_000_000, 2_200_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def botocores(method: str, path: str, headers: dict[str, str], body: bytes) -> str:
    """Return the Authorization header that botocore gives a request which carries its own time."""
    request = AWSRequest(method, f"https://{HOST}{path}", headers=dict(headers), data=body)
    request.context["timestamp"] = headers["X-Amz-Date"]
    auth = S3SigV4Auth(Credentials("AKID", SECRET), "s3", REGION)
    signed = auth.headers_to_sign(request)
    names_signed = auth.signed_headers(signed)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    credential = f"Credential={auth.scope(request)}"
    return f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names_signed}, Signature={auth.signature(text, request)}"


@given(st.sampled_from(["GET", "HEAD", "PUT", "DELETE"]), names, names, st.binary(max_size=200), times)
def test_a_signature_is_botocores(method: str, bucket: str, key: str, body: bytes, now: datetime) -> None:
    signer = Signer(access_key_id="AKID", secret_access_key=SECRET, region=REGION)
    path = quote_path(bucket, key)

    signed = signer.sign(method, path, {"Host": HOST, "Content-MD5": "YWJj", "Content-Type": "a/b "}, body, now)

    ours = signed.pop("Authorization")
    assert ours == botocores(method, path, signed, body)


@given(st.lists(times, min_size=2, max_size=5))
def test_each_day_has_its_own_key(days: list[datetime]) -> None:
    kept = Signer(access_key_id="AKID", secret_access_key=SECRET, region=REGION)

    for now in days:
        fresh = Signer(access_key_id="AKID", secret_access_key=SECRET, region=REGION)
        assert kept.sign("GET", "/a", {"Host": HOST}, b"", now) == fresh.sign("GET", "/a", {"Host": HOST}, b"", now)
