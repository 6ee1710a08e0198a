"""The whole way at Vana, three transactions a record: registration, proof request, reward.

`./run bench vana-full [--records N] [--rounds N]`. As `./run bench vana`, with a TEE of the sandbox that fetches and
opens each file, compares its key with the chain's, and puts a proof on chain; those transactions are its own. The old
service's figure is the same constant: it did no more in it than this.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks._vana import Flow
from benchmarks._vana import main as measure

FLOW = Flow(name="vana-full", options={"request_proof": "yes", "reward": "yes"}, transactions=3)


def main(argv: Sequence[str]) -> int:
    """Print records a second, the gas of a registration, and the ratio to the old service."""
    return measure(argv, FLOW, __doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
