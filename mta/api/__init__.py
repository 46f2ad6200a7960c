"""The HTTP door: ZoneMTA's routes, health, metrics and our own /v1."""
