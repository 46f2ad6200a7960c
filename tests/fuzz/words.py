"""Words worth trying, for all targets: what parsers look for."""

from typing import Final

_TEXT: Final = b"""
    EHLO HELO LHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP QUIT HELP VRFY LAST
    XCLIENT XFORWARD FROM:< TO:<ada@example.test> <postmaster> @a.test,@b.test:
    SIZE= BODY= 7BIT 8BITMIME BINARYMIME SMTPUTF8 RET=FULL ENVID= REQUIRETLS HOLDFOR=
    HOLDUNTIL= 2030-01-31T12:00:00Z 2030-01-31T12:00:00.5+23:59 BY= 120;R -5;NT
    AUTH=<> NOTIFY=NEVER SUCCESS,FAILURE ORCPT=rfc822; utf-8; \\x{10FFFF} \\x{E4} +3D
    PLAIN LOGIN XOAUTH2 OAUTHBEARER SCRAM-SHA-256 n,,n=ada,r=x y,a=ada, c=biws,r= ,p=
    auth=Bearer user= =2C =3D NAME= ADDR= PORT= PROTO=ESMTP HELO= IDENT= SOURCE=LOCAL
    [UNAVAILABLE] [TEMPUNAVAIL] IPV6: ::ffff:192.0.2.1 [192.0.2.1] [IPv6:2001:db8::1]
    PROXY TCP4 TCP6 UNKNOWN 192.0.2.1 2001:db8::1 65535
    xn--bcher-kva.test =?utf-8?q? =?utf-8?b?4oKs?= =?iso-8859-1*en?Q?=E4?= ?=
    250- 220 354 5.1.1 421 250-SIZE 250-AUTH= 250-PIPELINING
    Content-Type: multipart/mixed; multipart/digest message/rfc822 message/global
    boundary=b boundary="b" boundary*0=b --b --b-- Content-Transfer-Encoding: binary
    base64 quoted-printable 8bit text/plain Subject: Resent-To:
"""
WORDS: Final[tuple[bytes, ...]] = (
    *_TEXT.split(),
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n.\r\n",
    b"\n.\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\n.\r\n",
    b"\r\n..",
    b"\r\n\r\n",
    b"\r\n--",
    b"\r\n ",
    b"\0",
    b"\x01",
    b"\x7f",
    b"\xff",
    b"\\",
    b'\\"',
    b'"',
    b"(",
    b")",
    b" ",
    b"\t",
    b"\xc3\xa4",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\xe2\x80\xae",
    b"\xef\xbc\xa0",
    b"\xef\xbb\xbf",
    b"\xf0\x9f\x98\x80",
    b"\xed\xa0\x80",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
    b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    b"\x20\0\x05\x01",
)
