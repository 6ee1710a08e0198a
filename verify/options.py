"""The command line of the verification: what it may be told, and what is said when it is told wrongly (exit 2)."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

from verify.ecies import load_private_key

EPILOG = "Exit status: 0 if all is right, 1 if something was found (each finding is named), 2 if it cannot be said."


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse and check the arguments; exits with 2 and a sentence when they are wrong."""
    parser = _parser()
    options = parser.parse_args(arguments)
    wrong = _wrong(options)
    if wrong:
        parser.error(wrong)
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="verify", description="Compare the input with what S3 and chain hold.", epilog=EPILOG
    )
    add = parser.add_argument
    add("--input", type=Path, nargs="+", required=True, help="folders (each file a record), NDJSON or JSON files")
    add("--include", default="*", help="which files of a folder, by relative path; * spans folders")
    add("--s3", type=_url, required=True, help="the S3's URL")
    add("--s3-public", type=_url, help="what registered URLs begin with, if it is not --s3")
    add("--s3-access-key-id", default="", help="for listing; without it listing is anonymous")
    add("--s3-secret-file", type=_file_text, help="a file that holds the secret of the access key")
    add("--s3-region", default="us-south-1")
    add("--bucket", action="append", required=True)
    add("--s3-log", type=_url, help="the sandbox's log of uploads")
    add("--akave-only", action="store_true", help="look at no chain")
    add("--keys-file", type=_file_json, help="with --akave-only: JSON, object key to record key, to open them")
    add("--rpc", type=_url)
    add("--registry", type=_address, help="the DataRegistry")
    add("--dlp", type=_address, help="the DataLiquidityPool, which holds a key to every file")
    add("--dlp-key-file", type=_file_text, help="a file that holds the DLP's private key, hexadecimal")
    add("--owner", type=_address, action="append", help="who may own a file; repeated")
    add("--permission", type=_address, action="append", default=[], help="who else must have a key; repeated")
    add("--from-block", type=int, default=0, help="where to begin reading events")
    add("--tee-pool", type=_address, help="check that each proof was paid once")
    add("--expect-proof", action="store_true", help="each file has a proof")
    add("--expect-reward", action="store_true", help="each file was rewarded once")
    add("--refiner-id", type=int, help="each file has a refinement of this refiner")
    add("--report", type=Path, default=Path("report.json"))
    add("--timeout", type=float, default=30.0, help="seconds to wait for an answer")
    return parser


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^/\s]+\S*", text):
        raise argparse.ArgumentTypeError("expected an http or https URL")
    return text


def _address(text: str) -> str:
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise argparse.ArgumentTypeError("expected an address: 0x and 40 hexadecimal characters")
    return text.lower()


def _file_text(text: str) -> str:
    try:
        return Path(text).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise argparse.ArgumentTypeError(f"{text} cannot be read") from None


def _file_json(text: str) -> dict[str, str]:
    try:
        keys = json.loads(_file_text(text))
    except ValueError:
        keys = None
    if not isinstance(keys, dict):
        raise argparse.ArgumentTypeError(f"{text} does not hold a JSON object of object keys to record keys")
    return keys


def _wrong(options: argparse.Namespace) -> str:
    if options.s3_access_key_id and not options.s3_secret_file:
        return "--s3-access-key-id needs --s3-secret-file"
    if options.akave_only:
        return ""
    if options.keys_file is not None:
        return "--keys-file is for --akave-only: else the keys come from the chain"
    needed = ("rpc", "registry", "dlp", "dlp_key_file", "owner")
    missing = [f"--{name.replace('_', '-')}" for name in needed if not getattr(options, name)]
    if missing:
        return f"needed unless --akave-only: {', '.join(missing)}"
    try:
        load_private_key(options.dlp_key_file)
    except ValueError:
        return "--dlp-key-file must hold a private key of 64 hexadecimal characters"
    return ""
