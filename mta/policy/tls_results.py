"""What came of TLS with a host, in the words of reports (RFC 8460 §4.3)."""

from enum import StrEnum


class TlsResult(StrEnum):
    """Success, or what was wrong."""

    SUCCESS = "success"
    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION_FAILURE = "validation-failure"
    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    STS_POLICY_FETCH_ERROR = "sts-policy-fetch-error"
    STS_POLICY_INVALID = "sts-policy-invalid"
    STS_WEBPKI_INVALID = "sts-webpki-invalid"


# Of OpenSSL's reasons not to trust a certificate, those that have a word of their own.
_BY_CODE = {
    9: TlsResult.CERTIFICATE_EXPIRED,  # not valid yet
    10: TlsResult.CERTIFICATE_EXPIRED,
    62: TlsResult.CERTIFICATE_HOST_MISMATCH,
    64: TlsResult.CERTIFICATE_HOST_MISMATCH,  # of an IP address
}


def result_of(verify_code: int) -> TlsResult:
    """Put OpenSSL's ``X509_V_ERR_...`` into the words of reports."""
    return _BY_CODE.get(verify_code, TlsResult.CERTIFICATE_NOT_TRUSTED)
