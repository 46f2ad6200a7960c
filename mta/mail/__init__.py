"""Messages as values: addresses, headers, bodies and envelopes; no I/O."""
