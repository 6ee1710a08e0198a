"""What akave_limit.py has a process of its own do: encrypt and put, again and again, and keep track of nothing."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks._records import make_payload
from partners.akave.adapter import AkavePartner
from partners.akave.encoding import encrypt, new_record_key

_KEYS = {"access_key_id": "bench", "secret_access_key": "bench-secret"}


def main(argv: Sequence[str]) -> int:
    """Do `ours|obstore URL N`: print {"seconds"} for N objects."""
    client, url, number = argv
    put = put_ours(url) if client == "ours" else put_obstore(url)
    payload = make_payload()
    put(secrets.token_hex(16), encrypt(payload, new_record_key()))  # connects
    begin = time.monotonic()
    for _ in range(int(number)):
        put(secrets.token_hex(16), encrypt(payload, new_record_key()))
    print(json.dumps({"seconds": time.monotonic() - begin}))
    return 0


def put_ours(url: str) -> Callable[[str, bytes], object]:
    """Return the put of the adapter's own client."""
    storage = AkavePartner("akave", {"endpoint_url": url, "region": "us-south-1", **_KEYS}).storage
    return lambda key, message: storage.put("health", key, message, step="upload")


def put_obstore(url: str) -> Callable[[str, bytes], object]:
    """Return the put of a client written in Rust."""
    from obstore import put
    from obstore.store import S3Store

    plain: Any = {"endpoint": url, "region": "us-south-1", "client_options": {"allow_http": True}, **_KEYS}
    store = S3Store("health", **plain)
    return lambda key, message: put(store, key, message, use_multipart=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
