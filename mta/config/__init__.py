"""Configuration as frozen values; the only reader of files and environment."""
