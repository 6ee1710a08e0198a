"""The world in which the Vana benchmarks measure: a chain of one-second blocks, and production's processes."""

from __future__ import annotations

import argparse
import shutil
import statistics
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._anvil import CHAIN_ID, Anvil, NotInstalledError, free_port, start_anvil
from benchmarks._processes import answer, begin, new_database
from benchmarks._report import tell_machine, tell_progress, tell_ratio, tell_table
from benchmarks._vana_work import payload, record_key
from partners.akave.encoding import encrypt
from partners.sandbox.chain.deploy import Wiring
from partners.sandbox.tee import start_tee

if TYPE_CHECKING:
    from tests.flows.house import House

BLOCK_S = 1
OLD_PER_S = 0.053  # 8 records in 150 s through Akave and Vana on such a chain, measured on two cores
LEAST_GAS = 500_000  # what a registration costs at Vana's own contracts, at least
TEE_JOBS = 32  # at once, so that the TEE is not what is measured
WORKERS = ("vana", "ticker")


@dataclass(frozen=True, kw_only=True)
class Flow:
    """What is measured: the options that choose the steps, and how many transactions of ours a record takes."""

    name: str
    options: Mapping[str, str]
    transactions: int


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one round came to; times in seconds after the first record was handed in."""

    records: int
    handed_in_s: float
    registered_s: float
    synced_s: float
    gas: int  # of a registration, the median
    most_in_a_block: int

    @property
    def per_s(self) -> float:
        """Return how many records a second were brought to their end."""
        return self.records / self.synced_s


def main(argv: Sequence[str], flow: Flow, doc: str) -> int:
    """Measure as often as asked; print the parts, the machine and the ratio to the old service."""
    parser = argparse.ArgumentParser(prog=f"./run bench {flow.name}", description=doc.splitlines()[0])
    parser.add_argument("--records", type=int, default=300, help="in each round (300)")
    parser.add_argument("--rounds", type=int, default=1, help="of which the median is told (1)")
    parser.add_argument("--database", default="sqlite", choices=("sqlite", "mongodb", "postgresql"))
    parser.add_argument("--final-after", type=int, default=2, help="blocks after which one is final, even (2)")
    parser.add_argument("--within-s", type=float, default=300.0, help="give up after so many seconds (300)")
    parser.add_argument("--logs", type=Path, help="a folder to which the workers' logs are copied")
    options = parser.parse_args(argv)
    rounds = []
    for number in range(options.rounds):
        try:
            rounds.append(_measure(flow, options))
        except NotInstalledError as error:
            tell_progress(str(error))
            return 2
        tell_progress(f"round {number + 1}: {rounds[-1].per_s:.1f} records/s")
    _tell(sorted(rounds, key=lambda one: one.per_s)[len(rounds) // 2], flow)
    return 0


def _measure(flow: Flow, options: argparse.Namespace) -> Round:
    with ExitStack() as held:
        files_url = held.enter_context(_serve_files())
        tee_port = free_port()
        wiring = Wiring(tee_url=f"http://127.0.0.1:{tee_port}")
        chain = held.enter_context(start_anvil(wiring, block_s=BLOCK_S, final_after=options.final_after))
        tee = start_tee(
            rpc_url=chain.addresses.rpc_url,
            addresses=asdict(chain.addresses),
            private_key=wiring.keys["tee"],
            port=tee_port,
            threads=TEE_JOBS,
        )
        held.callback(tee.stop)
        env = held.enter_context(new_database(options.database))
        env |= {"DJANGO_SETTINGS_MODULE": "tests.flows.settings", **_partner(chain, wiring, flow)}
        answer(begin(env, "benchmarks._vana_work", "prepare"))
        house = held.enter_context(_open_house(env, options.logs))
        env["REDIS_URL"] = f"redis://127.0.0.1:{house.broker_port}/0"
        asked = ("sync", str(options.records), files_url, str(options.within_s))
        return _judge(chain, answer(begin(env, "benchmarks._vana_work", *asked)))


def _partner(chain: Anvil, wiring: Wiring, flow: Flow) -> dict[str, str]:
    where = chain.addresses
    options = {
        "rpc_url": where.rpc_url,
        "chain_id": str(CHAIN_ID),
        "private_key": wiring.keys["signer"],
        "registry": where.registry,
        "tee_pool": where.tee_pool,
        "dlp": where.dlp,
        "max_unmined": "64",
        "poll_s": str(BLOCK_S),
        "allow_private": "yes",
        **flow.options,
    }
    return {f"VANA_{name.upper()}": value for name, value in options.items()}


@contextmanager
def _serve_files() -> Iterator[str]:
    """Serve the objects as Akave would, encrypted when they are asked for; give the URL before their paths."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = int(self.path[1:])
            body = encrypt(payload(number), record_key(number))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _open_house(env: Mapping[str, str], logs: Path | None) -> Iterator[House]:
    """Start broker, workers and beat as docker-compose.yml does; give them once the workers listen."""
    from tests.flows.house import WORKERS as QUEUES
    from tests.flows.house import House, eventually

    house = House(Path(env["DATAUNION_VAR_DIR"]), env)
    try:
        house.start_broker()
        house.start(*WORKERS, "beat")
        queues = [f"_kombu.binding.{QUEUES[name]}" for name in WORKERS]
        eventually(lambda: house.ask_broker(lambda broker: broker.exists(*queues)) == len(queues))
        yield house
    finally:
        house.end()
        if logs:
            shutil.copytree(house.logs, logs, dirs_exist_ok=True)


def _judge(chain: Anvil, told: Mapping[str, Any]) -> Round:
    """Read from the chain what came of it. Raises RuntimeError unless each record was registered once."""
    receipts = chain.receipts([one["tx_hash"] for one in told["receipts"]])
    if len({one["file_id"] for one in told["receipts"]}) != len(receipts):
        raise RuntimeError("two records have the same file")
    blocks = Counter(receipt["blockNumber"] for receipt in receipts)
    last = max(blocks, key=lambda block: int(block, 16))
    begun_at = told["begun_at"]
    return Round(
        records=len(receipts),
        handed_in_s=told["handed_in_at"] - begun_at,
        registered_s=chain.mined_at(last) - begun_at,
        synced_s=told["ended_at"] - begun_at,
        gas=int(statistics.median(int(receipt["gasUsed"], 16) for receipt in receipts)),
        most_in_a_block=max(blocks.values()),
    )


def _tell(chosen: Round, flow: Flow) -> None:
    if chosen.gas < LEAST_GAS:
        raise RuntimeError(f"a registration took {chosen.gas} gas; Vana's own take {LEAST_GAS} and more")
    steps = {
        "handed in": chosen.handed_in_s,
        "registered: the last one is mined": chosen.registered_s,
        f"synced: {flow.transactions} of our transactions each, final": chosen.synced_s,
    }
    rows = [[name, f"{seconds:.1f}", f"{chosen.records / seconds:.1f}"] for name, seconds in steps.items()]
    tell_table([f"{chosen.records} records", "s", "records/s"], [*rows, ["the old service", "", f"{OLD_PER_S}"]])
    print(f"gas per registration: {chosen.gas}; registrations in the fullest block: {chosen.most_in_a_block}")
    tell_machine()
    tell_ratio(chosen.per_s / OLD_PER_S)
