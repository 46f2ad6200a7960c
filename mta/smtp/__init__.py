"""The protocol as state machines: bytes in, events and replies out; no sockets."""
