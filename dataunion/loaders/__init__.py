"""Where data that is kept elsewhere is read from. `base` is the contract, `registry` says which type has a loader."""
