"""The other side for tests: a DNS server, a mail server, a running stack."""
