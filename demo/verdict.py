"""The end of the demo: what was injected, who took over, and what the independent verification says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from demo.mischief import KILLING, LABELS, Mischief
from demo.progress import Progress
from demo.world import ACCESS_KEY_ID, FOLDER, ROOT, SECRET, World

ENOUGH_RECORDS = 40  # with fewer, not every fault finds a request to hit


def tell_faults(mischief: Mischief, progress: Progress) -> bool:
    """Print each kind of fault and how often it was injected; say whether none is missing."""
    progress.say("Faults injected on the way:")
    counts = mischief.counts()
    for kind, count in counts.items():
        text = f"  {LABELS[kind]:<55} {count:>4}"
        for takeover in (t for t in mischief.takeovers if t.kind == kind):
            text += f"   jobs taken over: {takeover.taken}, the last after {takeover.seconds:.1f} s"
        progress.say(text)
    if mischief.records < ENOUGH_RECORDS:
        return True
    missing = [LABELS[kind] for kind, count in counts.items() if not count]
    taken = {takeover.kind for takeover in mischief.takeovers if takeover.taken}
    missing += [f"{LABELS[kind]} (no job was held)" for kind in KILLING if counts.get(kind) and kind not in taken]
    if missing:
        progress.say(f"Not injected: {', '.join(missing)}")
    return not missing


def verify(world: World, source: Path, include: str, progress: Progress) -> bool:
    """Run the verification, a program that shares no code with DataUnion; say whether it agrees."""
    progress.say("Verification reads the input, the S3 and the chain, and nothing of ours:")
    secret = _secret_file("s3.secret", SECRET)
    command = [sys.executable, "-m", "verify", "--input", str(source), "--include", include]
    command += ["--s3", world.s3_url, "--s3-access-key-id", ACCESS_KEY_ID, "--s3-secret-file", secret]
    command += ["--s3-log", f"{world.s3_url}/_sandbox/log", "--bucket", "health", "--bucket", "checkin"]
    command += _chain_options(world) if world.chain_url else ["--akave-only", "--keys-file", _write_keys()]
    command += ["--report", str(ROOT / "report.json")]
    ended = subprocess.run(command, cwd=ROOT, env={**os.environ, "DJANGO_SETTINGS_MODULE": ""}, check=False)
    return ended.returncode == 0


def _chain_options(world: World) -> list[str]:
    from partners.sandbox.chain.deploy import key_address, role_key

    where = world.addresses
    options = ["--rpc", world.chain_url, "--registry", where["registry"], "--dlp", where["dlp"]]
    options += ["--dlp-key-file", _secret_file("dlp.key", role_key("dlp")), "--owner", key_address(role_key("signer"))]
    options += ["--tee-pool", where["tee_pool"], "--expect-proof", "--expect-reward"]
    return [*options, "--refiner-id", str(where["refiner_id"])]


def _secret_file(name: str, text: str) -> str:
    path = FOLDER / name
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)


def _write_keys() -> str:
    """Write which key opens which object; without a chain nothing else holds it."""
    from dataunion.models import DataUnion

    keys = {}
    for record in DataUnion.objects.all():
        saved = record.retry_data("akave")
        keys[saved["key"]] = saved["record_key"]
    return _secret_file("keys.json", json.dumps(keys))
