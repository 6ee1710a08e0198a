"""`python -m verify`: exit 0 if all is right, 1 with each finding named, 2 if it cannot be said."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from itertools import chain as joined

from verify import chain_rules, evidence, registry, rules
from verify.chain import Contract, Rpc
from verify.ecies import load_private_key
from verify.evidence import Evidence
from verify.inputs import InputError, read_inputs
from verify.options import parse
from verify.registry import ChainFacts
from verify.report import Finding, Progress, Report
from verify.s3 import S3, Credentials, read_log
from verify.wire import UnreachableError, Wire


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify, write the report, print it, and return the exit status."""
    options = parse(arguments)
    try:
        with Wire(options.timeout) as wire:
            found = gather(options, wire, Progress())
    except (UnreachableError, InputError) as error:
        print(f"verify: no verdict: {error}", file=sys.stderr)
        return 2
    report = Report(_counts(found), sorted(set(_judge(found, options))))
    report.write(options.report)
    report.show()
    return 0 if report.is_ok else 1


def gather(options: argparse.Namespace, wire: Wire, progress: Progress) -> Evidence:
    """Read input, S3 and chain."""
    found = Evidence(read_inputs(options.input, options.include))
    credentials = None
    if options.s3_access_key_id:
        credentials = Credentials(options.s3_access_key_id, options.s3_secret_file, options.s3_region)
    s3 = S3(wire, options.s3, credentials, options.s3_public)
    evidence.list_buckets(found, s3, options.bucket)
    if options.keys_file is not None:
        evidence.open_with_keys(found, options.keys_file)
    elif not options.akave_only:
        facts = read_chain(options, Rpc(wire, options.rpc), progress)
        evidence.open_with_chain(found, s3, facts, options.dlp, load_private_key(options.dlp_key_file))
    if options.s3_log:
        found.log = read_log(wire, options.s3_log)
    evidence.fetch_all(found, s3, progress)
    return found


def read_chain(options: argparse.Namespace, rpc: Rpc, progress: Progress) -> ChainFacts:
    """Read what the chain says at its latest block."""
    block = int(rpc.call("eth_blockNumber"), 16)
    contracts = {name: getattr(options, name) for name in ("registry", "dlp", "tee_pool")}
    at = {name: Contract(rpc, address, block, options.from_block) for name, address in contracts.items() if address}
    for name, contract in at.items():
        contract.check_code(name)
    progress.say("reading the registrations")
    files = registry.read_files(at["registry"], {options.dlp, *options.permission})
    ids = [file.file_id for file in files]
    progress.say(f"reading the events of {len(ids)} registrations")
    return ChainFacts(
        block=block,
        files=files,
        announced=registry.read_announcements(at["registry"]),
        jobs=registry.read_jobs(at["tee_pool"], ids) if "tee_pool" in at else None,
        proofs=registry.read_proofs(at["registry"]) if options.expect_proof else None,
        rewards=registry.read_rewards(at["dlp"]) if options.expect_reward else None,
        refinements=registry.read_refinements(at["registry"], ids, options.refiner_id) if options.refiner_id else None,
    )


def _judge(found: Evidence, options: argparse.Namespace) -> Iterable[Finding]:
    is_opened = options.keys_file is not None or not options.akave_only
    contents = rules.check_contents(found) if is_opened else rules.check_number(found)
    applied = [contents, rules.check_buckets(found), rules.check_reading(found), rules.check_log(found)]
    applied.append(rules.check_keys(found))
    chain = found.chain
    if chain:
        applied += [
            chain_rules.check_registrations(found, chain),
            chain_rules.check_owners(chain, frozenset(options.owner)),
            chain_rules.check_permissions(chain, frozenset({options.dlp, *options.permission})),
            chain_rules.check_ephemeral_keys(chain, options.dlp),
            chain_rules.check_announcements(chain),
            chain_rules.check_jobs(chain, options.expect_proof),
            chain_rules.check_proofs(chain),
            chain_rules.check_rewards(chain),
            chain_rules.check_refinements(chain),
        ]
    return joined.from_iterable(applied)


def _counts(found: Evidence) -> dict[str, int]:
    counts = {
        "documents": len(found.documents),
        "distinct_documents": len({document.content for document in found.documents}),
        "objects": len(found.listed),
        "objects_opened": sum(1 for opened in found.opened.values() if opened.content),
    }
    if found.log:
        counts["uploads_logged"] = len(found.log.puts)
    if found.chain:
        counts |= _count_chain(found.chain)
    return counts


def _count_chain(chain: ChainFacts) -> dict[str, int]:
    counts = {
        "registrations": len(chain.files),
        "permissions": sum(bool(key) for file in chain.files for key in file.keys.values()),
    }
    if chain.jobs is not None:
        counts["proof_jobs"] = sum(len(jobs) for jobs in chain.jobs.values())
    if chain.proofs is not None:
        counts["proofs"] = sum(chain.proofs.values())
    if chain.rewards is not None:
        counts["rewards"] = sum(len(paid) for paid in chain.rewards.values())
    if chain.refinements is not None:
        counts["refinements"] = sum(bool(url) for url in chain.refinements.values())
    return counts


if __name__ == "__main__":
    sys.exit(main())
