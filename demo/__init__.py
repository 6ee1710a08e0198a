"""./run demo: the whole system on one machine, with local doubles of the partners and faults on the way."""
