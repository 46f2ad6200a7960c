"""Pure decisions over values: each takes facts and returns its result and reason."""
