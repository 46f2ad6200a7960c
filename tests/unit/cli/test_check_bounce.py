import json

import pytest
from click.testing import CliRunner

from mta.cli.check_bounce import check_bounce


def run(reply: bytes, *arguments: str) -> str:
    result = CliRunner().invoke(
        check_bounce, arguments, input=reply, catch_exceptions=False
    )
    assert result.exit_code == 0
    return result.output


def test_a_reply_is_shown_field_by_field():
    """Names are padded to nine; further lines of the reply stand under the first."""
    output = run(b"550-5.1.1 No such user\r\n550 5.1.1 at all\r\n")

    assert output == (
        "data     : 550-5.1.1 No such user\n"
        "           550 5.1.1 at all\n"
        "action   : reject\n"
        "message  : 550 5.1.1 No such user at all\n"
        "category : recipient\n"
        "code     : 550\n"
        "status   : 5.1.1\n"
    )


@pytest.mark.parametrize(
    ("reply", "action", "code", "status"),
    [
        (b"450 mailbox busy", "defer", 450, False),
        (b"421 4.7.0 Try again later", "defer", 421, "4.7.0"),
        (b"599 unheard of", "reject", 599, False),
        (b"", "reject", 0, False),
    ],
)
def test_fields_as_json(reply, action, code, status):
    """The same as one document, for programs."""
    fields = json.loads(run(reply, "--json"))

    assert (fields["action"], fields["code"], fields["status"]) == (
        action,
        code,
        status,
    )


def test_a_reply_cannot_command_the_terminal():
    """Control characters are shown."""
    assert "\x1b" not in run(b"550 \x1b[2Jgone")
