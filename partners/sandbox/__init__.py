"""Local doubles of the partners' services, with fault switches: for the demo and the tests, over real sockets."""
