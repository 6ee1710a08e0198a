"""A local EVM chain with doubles of Vana's contracts, its own mempool, and faults on demand."""
