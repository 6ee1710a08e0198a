"""Moving the open work: claim a chunk, run its steps, let go of it; and the clock that finds what is due."""
