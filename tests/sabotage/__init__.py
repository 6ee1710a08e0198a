"""One patch a guard: each takes one guard or recovery out of the product, and the tests it names must notice."""
