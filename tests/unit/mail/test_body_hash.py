import base64
import hashlib

import pytest
from dkim.canonicalization import Relaxed
from hypothesis import given
from hypothesis import strategies as st

from mta.mail.dkim import RelaxedBodyHash

EMPTY = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def hash_of(*chunks):
    body_hash = RelaxedBodyHash()
    for chunk in chunks:
        body_hash.update(chunk)
    return body_hash.digest()


def reference(body):
    canonical = Relaxed.canonicalize_body(body)
    return base64.b64encode(hashlib.sha256(canonical).digest()).decode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"", EMPTY, id="nothing"),
        pytest.param(b"\r\n", EMPTY, id="one empty line"),
        pytest.param(b" \t\r\n \r\n\r\n", EMPTY, id="only blanks"),
        pytest.param(b" ", EMPTY, id="a blank without a line end"),
        pytest.param(
            b" C \r\nD \t E\r\n\r\n\r\n",
            "unak6JHq0wL+Q1HP7dW1tjBx9FLA6DffoZ0qrLwbbpo=",
            id="RFC 6376 §3.4.5",
        ),
        pytest.param(
            b"Hello World\r\n",
            "sIAi0xXPHrEtJmW97Q5q9AZTwKC+l1Iy+0m8vQIc/DY=",
            id="one line",
        ),
        pytest.param(
            b"Hello World",
            "sIAi0xXPHrEtJmW97Q5q9AZTwKC+l1Iy+0m8vQIc/DY=",
            id="line end added",
        ),
    ],
)
def test_known_bodies(body, expected):
    """Values that others computed."""
    assert hash_of(body) == expected
    assert hash_of(*(bytes([octet]) for octet in body)) == expected


parts = st.lists(
    st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"\r\n\r\n", b"  \r\n", b"\r", b"\n"]),
    max_size=30,
)


@given(parts, st.integers(1, 5))
def test_any_chunking_gives_what_dkimpy_gives(parts, size):
    """The held state covers every cut."""
    body = b"".join(parts) + b"\r\n"
    cuts = [body[i : i + size] for i in range(0, len(body), size)]

    assert hash_of(*cuts) == hash_of(body) == reference(body)


@given(parts, st.integers(1, 5))
def test_unfinished_bodies_hash_alike_however_cut(parts, size):
    """Also without a final line end."""
    body = b"".join(parts)
    cuts = [body[i : i + size] for i in range(0, len(body), size)]

    assert hash_of(*cuts) == hash_of(body)


def test_many_empty_lines_cost_no_memory():
    """Line ends are counted, not kept, and hashed if text follows."""
    body = b"\r\n" * 100_000 + b"x\r\n"

    assert hash_of(*[b"\r\n" * 1000] * 100, b"x\r\n") == reference(body)


def test_digest_may_be_asked_in_between():
    """Asking is not ending."""
    body_hash = RelaxedBodyHash()
    body_hash.update(b"Hello \r")
    body_hash.digest()
    body_hash.update(b"\n World")

    assert body_hash.digest() == reference(b"Hello\r\n World\r\n")
    assert body_hash.body_bytes == 14
