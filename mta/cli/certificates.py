"""Whether the files that zones.yaml names for TLS can be used."""

from mta.config.zones import Config
from mta.errors import ConfigError, Problem
from mta.smtpd.listener import tls_terms
from mta.smtpd.tls import check_files


def check_certificates(config: Config) -> None:
    """Look at all certificates and keys.

    Raises:
        ConfigError: With every problem.
    """
    problems = [
        Problem(config.source, 0, 0, f"interfaces.{interface.name}.tls", str(fault))
        for interface in config.interfaces.values()
        if interface.tls is not None
        for fault in check_files(tls_terms(interface.tls))
    ]
    if problems:
        raise ConfigError(problems)
