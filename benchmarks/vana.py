"""Registrations at Vana: ours on a chain of one-second blocks, against the service that this one replaces.

`./run bench vana [--records N] [--rounds N]`; needs `npm ci --prefix benchmarks`. The old service was measured before:
0.053 records/s with a local store and a chain of one-second blocks, so that figure is a constant here.

300 records that Akave has already are handed in at once, and the clock runs until each is registered, final and synced
in the database: one signing key, a worker for Vana, one for the clock and a beat, as docker-compose.yml starts them,
with a real broker. The chain is Anvil with the doubles of Vana's contracts; a block holds 30 million gas, as Vana's
first did, which is some fifty registrations.

Two options are the deployment's to choose: max_unmined is 64, and poll_s one second, the time of a block. The old
service waited for one confirmation; here a block is final two blocks later (`--final-after`), on Vana's own network
about sixteen. That delays each record; it limits none.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks._vana import Flow
from benchmarks._vana import main as measure

FLOW = Flow(name="vana", options={}, transactions=1)


def main(argv: Sequence[str]) -> int:
    """Print registrations a second, the gas of one, and the ratio to the old service."""
    return measure(argv, FLOW, __doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
