"""./run bench crypt: our CPU time to encrypt a record for its storage and its key for three readers.

What is made is opened by openpgp.js and eccrypto, which `npm ci --prefix tests/interop` installs.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coincurve import PrivateKey

from benchmarks._processes import ROOT
from benchmarks._report import tell_machine, tell_progress, tell_ratio, tell_table
from partners.akave.encoding import encrypt, new_record_key
from partners.vana.encoding import ecies_seal

TARGET_MS = 0.5
READERS = 3  # the DLP, the owner, the TEE
INTEROP = ROOT / "tests" / "interop"


@dataclass(frozen=True)
class Made:
    """What goes out for one record."""

    payload: bytes
    record_key: str
    message: bytes
    keys: list[str]


def main(argv: Sequence[str]) -> int:
    """Print the parts and, last, 0.5 ms over our CPU time a record; 1 where the JavaScript libraries open less."""
    options = _parse(argv)
    lack = _find_lack()
    if lack:
        tell_progress(lack)
        return 1
    readers = [PrivateKey() for _ in range(READERS)]
    public_keys = [reader.public_key.format(compressed=False) for reader in readers]
    payloads = [secrets.token_bytes(options.bytes) for _ in range(options.records)]
    rounds = [_measure(payloads, public_keys) for _ in range(options.rounds)]
    if not _are_opened([_make(payload, public_keys) for payload in payloads[: options.opened]], readers):
        return 1
    parts = {part: [one[part] for one in rounds] for part in rounds[0]}
    rows = [[part, f"{statistics.median(ms):.3f}", f"{min(ms):.3f}", f"{max(ms):.3f}"] for part, ms in parts.items()]
    tell_table(["part", "CPU ms a record", "best round", "worst round"], rows)
    print(f"{options.records} records of {options.bytes} bytes a round, {options.rounds} rounds;", end=" ")
    print(f"{options.opened} records opened by openpgp.js 5 and 6, and each of their {READERS} keys by eccrypto")
    tell_machine()
    tell_ratio(TARGET_MS / statistics.median(parts["all"]))
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench crypt", description=__doc__)
    parser.add_argument("--records", type=int, default=2000, help="a round")
    parser.add_argument("--bytes", type=int, default=4096, help="of a record")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--opened", type=int, default=50, help="how many the JavaScript libraries open")
    return parser.parse_args(argv)


def _find_lack() -> str:
    if not shutil.which("node"):
        return "node is not installed; on Debian: apt-get install nodejs npm"
    if not (INTEROP / "node_modules").is_dir():
        return "The JavaScript libraries are not installed: npm ci --prefix tests/interop"
    return ""


def _measure(payloads: Sequence[bytes], public_keys: Sequence[bytes]) -> dict[str, float]:
    """Return the CPU milliseconds a record: of all of it, and of each part by itself."""
    key = new_record_key()
    return {
        "OpenPGP message": _cpu_ms(payloads, lambda payload: encrypt(payload, key)),
        "one ECIES key": _cpu_ms(payloads, lambda _: ecies_seal(public_keys[0], key.encode())),
        "all": _cpu_ms(payloads, lambda payload: _make(payload, public_keys)),
    }


def _cpu_ms(payloads: Sequence[bytes], act: Callable[[bytes], object]) -> float:
    began = time.process_time()
    for payload in payloads:
        act(payload)
    return 1000 * (time.process_time() - began) / len(payloads)


def _make(payload: bytes, public_keys: Sequence[bytes]) -> Made:
    """Do what the steps of Akave and Vana do for one record."""
    key = new_record_key()
    message = encrypt(payload, key)
    return Made(payload, key, message, [ecies_seal(public, key.encode()).blob for public in public_keys])


def _are_opened(made: Sequence[Made], readers: Sequence[PrivateKey]) -> bool:
    """Have the JavaScript libraries open all of it; say whether they find what we put in."""
    questions, expected = [], []
    for one in made:
        for library in ("openpgp5", "openpgp6"):
            message = {"message": one.message.hex(), "password": one.record_key}
            questions.append({"do": "open", "with": library, **message})
            expected.append(one.payload.hex())
        for blob, reader in zip(one.keys, readers, strict=True):
            questions.append({"do": "ecies_open", "message": blob, "private_key": reader.secret.hex()})
            expected.append(one.record_key.encode().hex())
    command = ["node", str(INTEROP / "answer.mjs")]
    ended = subprocess.run(command, input=json.dumps(questions), stdout=subprocess.PIPE, text=True, check=True)
    answers = json.loads(ended.stdout)
    wrong = sum(answer != {"ok": text} for answer, text in zip(answers, expected, strict=True))
    if wrong:
        tell_progress(f"{wrong} of {len(expected)} were not opened, or hold something else")
    return not wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
