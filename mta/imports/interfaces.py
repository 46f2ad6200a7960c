"""The SMTP doors, and the certificates they encrypt with."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

from mta.config.interfaces import Interface
from mta.config.values import is_loopback, parse_listen_host
from mta.config.wording import shorten
from mta.config.zones import built_in_interfaces
from mta.imports.names import rename
from mta.imports.report import Kind, Where
from mta.imports.rules import (
    Carry,
    Rules,
    apply,
    as_is,
    by_hand,
    flag,
    host,
    is_off,
    left_out,
    listed,
    milliseconds,
    number,
    octets,
)
from mta.imports.source import Plain, Section
from mta.imports.target import Path, Target

CERTIFICATES: Final = PurePosixPath("/etc/mta/tls")

DOOR: Final[Rules] = {
    "port": Carry("port", number),
    "processes": Carry("processes", number),
    "hostname": Carry("hostname", as_is),
    "banner": Carry("banner", as_is),
    "lmtp": Carry("lmtp", flag),
    "maxSize": Carry("max_size", octets),
    "maxRecipients": Carry("max_recipients", number),
    "allowInsecureAuth": Carry("allow_insecure_auth", flag),
    "socketTimeout": Carry("socket_timeout", milliseconds),
    "maxClients": Carry("max_clients", number),
    "name": left_out("the greeting has no such word; set banner"),
    "disableVersionString": left_out("the greeting never shows a version"),
    "logger": left_out(
        "each session is a line of the log; MTA_LOG_LEVEL=debug says more"
    ),
    "closeTimeout": left_out("a process that stops waits as long as it is given"),
    "disableReverseLookup": left_out("names of clients are never looked up"),
    "useProxy": by_hand(
        "a PROXY header is believed from named networks alone: list the load balancers "
        "in proxy_from"
    ),
    "useXClient": by_hand(
        "XCLIENT is believed from named networks alone: list them in xclient_from"
    ),
    "useXForward": by_hand(
        "XFORWARD is believed from named networks alone: list them in xforward_from"
    ),
    "secured": by_hand(
        "TLS that ends before this system is not known: let it end here (tls), or set "
        "allow_insecure_auth if passwords may come in clear from what ends it"
    ),
    "hideSTARTTLS": left_out("what is taken is offered: set starttls to false"),
    "ca": by_hand("append these certificates to the file in tls: certificate"),
    "dhparam": left_out("OpenSSL's own parameters are used"),
    "secureProtocol": left_out("set min_version under tls"),
    "secureOptions": left_out("set min_version or ciphers under tls"),
}
_HIDDEN: Final = {
    "hidePIPELINING": "PIPELINING",
    "hideSize": "SIZE",
    "hide8BITMIME": "8BITMIME",
    "hideSMTPUTF8": "SMTPUTF8",
}
_TLS: Final = (
    *("cert", "key", "ca", "sniOptions", "ciphers", "minVersion"),
    *("dhparam", "secureProtocol", "secureOptions", "hideSTARTTLS"),
)
_PAIR: Final = (("cert", "certificate", "pem"), ("key", "key", "key"))
_SLASHES = re.compile(r"[^A-Za-z0-9.*_-]")
_VERBS: Final = frozenset(("EXPN", "HELO", "HELP", "VRFY", "XCLIENT", "XFORWARD"))
_MECHANISMS: Final = frozenset(("PLAIN", "LOGIN", "XOAUTH2"))


def read_interfaces(
    target: Target,
    section: Section | None,
    routed: Mapping[str, Where],
    has_service: bool,
) -> None:
    """Take over the interfaces that are on.

    Args:
        routed: Those whose clients may choose zones, and who says so.
        has_service: A web service knows the logins.
    """
    doors = _read_doors(target, section, has_service)
    for name, where in routed.items():
        if name in doors:
            target.put((*doors[name], "allow_routing_headers"), True, where)
        else:
            target.note(Kind.NO_EFFECT, where, "there is no such interface")


def _read_doors(
    target: Target, section: Section | None, has_service: bool
) -> dict[str, Path]:
    """Take them over; says where each is in the new file."""
    if section is None:
        return {name: ("interfaces", name) for name in built_in_interfaces()}
    target.open(("interfaces",), section.where)
    ours = rename(section.rest())
    doors: dict[str, Path] = {}
    for name in section.rest():
        where, door = section.where_is(name), section.enter(name)
        if door is None:
            section.take(name)
            target.note(Kind.NO_EFFECT, where, "it is not a mapping")
            continue
        if "enabled" in door and not flag(door.take("enabled")):
            text = "it is not enabled; its options were left out with it"
            target.note(Kind.NO_EFFECT, where, text)
            continue
        if ours[name] != name:
            target.note(Kind.DIFFERS, where, f"is called {ours[name]} here")
        doors[name] = path = ("interfaces", ours[name])
        target.open(path, where)
        _Door(target, door, path).read(has_service)
    return doors


class _Door:
    """One interface on its way into the new file."""

    def __init__(self, target: Target, door: Section, path: Path) -> None:
        self._target = target
        self._door = door
        self._path = path

    def read(self, has_service: bool) -> None:
        """Take over all of it."""
        verbs = self._verbs()
        encrypts = self._encryption()
        login = self._login(has_service, encrypts, is_disabled="AUTH" in verbs)
        self._host(is_open=login is not True)
        self._methods(has_service)
        self._hidden()
        apply(self._target, self._door, self._path, DOOR)
        self._target.arrange(self._path, Interface.model_fields)

    def _put(self, key: str, value: Plain, where: Where, comment: str = "") -> None:
        self._target.put((*self._path, key), value, where, comment)

    def _note(self, kind: Kind, key: str, text: str) -> None:
        self._target.note(kind, self._door.where_is(key), text)

    def _host(self, is_open: bool) -> None:
        """Where it listens: on loopback, while strangers could send mail."""
        value = host(self._door.take("host"))
        where = self._door.where_is("host")
        if is_open and is_reached(value):
            self._put("host", "127.0.0.1", where, f"host = {value}")
            text = (
                f"at {value} anybody could send mail; name allowed_networks, or have "
                f"authentication: true, then write host: {value}"
            )
            self._target.note(Kind.BY_HAND, where, text)
        elif value is not None:
            self._put("host", value, where)

    def _login(self, has_service: bool, encrypts: bool, is_disabled: bool) -> Plain:
        where, value = (
            self._door.where_is("authentication"),
            self._flag("authentication"),
        )
        is_optional = self._flag("authOptional")
        if is_disabled and value:
            text = "AUTH is among disabledCommands, so there is none"
            self._target.note(Kind.DIFFERS, where, text)
            value = None
        if not value:
            return None
        login: Plain = "optional" if is_optional else value
        self._put("authentication", login, where)
        if not has_service:
            text = (
                "add those who may log in with mta user add; ZoneMTA lets in whoever "
                "its plugins do not refuse"
            )
            self._target.note(Kind.BY_HAND, where, text)
        if not encrypts:
            self._door.take("allowInsecureAuth")
            self._put("allow_insecure_auth", True, where, "there is no TLS")
            text = (
                "passwords come in clear, as they do in ZoneMTA; give it tls, starttls"
            )
            self._target.note(Kind.DIFFERS, where, text)
        return login

    def _flag(self, key: str) -> Plain:
        return flag(self._door.take(key))

    def _encryption(self) -> bool:
        """Carry over its TLS; False: it has none."""
        starttls_at, secure_at = map(self._door.where_is, ("starttls", "secure"))
        starttls, secure = self._flag("starttls"), self._flag("secure")
        if secure:
            self._put("secure", secure, secure_at)
            if starttls:
                text = "what is encrypted from the first byte has no STARTTLS"
                self._target.note(Kind.NO_EFFECT, starttls_at, text)
        elif starttls:
            self._put("starttls", starttls, starttls_at)
        else:
            for key in _TLS:
                if not is_off(self._door.take(key)):
                    self._note(Kind.NO_EFFECT, key, "the interface does not encrypt")
            return False
        self._certificates()
        return True

    def _certificates(self) -> None:
        name = self._path[-1]
        path = (*self._path, "tls")
        if is_off(self._door.look("cert")):
            where = self._door.where
            value = str(CERTIFICATES / f"{name}.pem")
            self._target.put((*path, "certificate"), value, where, "to be made")
            text = f"ZoneMTA's built-in certificate is not here: put one into {value}"
            self._target.note(Kind.BY_HAND, where, text)
        for key, ours, ending in _PAIR:
            where, said = self._door.where_is(key), self._door.take(key)
            if not is_off(said):
                file = self._file(said, f"{name}.{ending}", where)
                self._target.put((*path, ours), file, where)
        self._names(path)
        version = self._door.take("minVersion")
        if version in ("TLSv1.2", "TLSv1.3"):
            where = self._door.where_is("minVersion")
            self._target.put((*path, "min_version"), version, where)
        elif not is_off(version):
            text = "TLS is never older than TLSv1.2"
            self._note(Kind.LEFT_OUT, "minVersion", text)
        where, ciphers = self._door.where_is("ciphers"), self._door.take("ciphers")
        if not is_off(ciphers):
            self._target.put((*path, "ciphers"), ciphers, where)

    def _names(self, path: Path) -> None:
        names = self._door.enter("sniOptions")
        for name in names.rest() if names else ():
            assert names is not None  # noqa: S101 - or there was no name
            where, entry = names.where_is(name), names.take(name)
            entry = entry if isinstance(entry, dict) else {}
            files = {
                ours: self._file(entry[key], f"{name}.{ending}", where.at(key))
                for key, ours, ending in _PAIR
                if not is_off(entry.get(key))
            }
            for key in entry.keys() - {"cert", "key"}:
                self._target.note(Kind.UNKNOWN, where.at(key), "")
            if "certificate" in files:
                self._target.put((*path, "names", name), dict(files), where)
            else:
                text = "it has no cert; a name needs its certificate"
                self._target.note(Kind.BY_HAND, where, text)

    def _file(self, value: Plain, name: str, where: Where) -> Plain:
        """A file with an absolute path; what is no path has to be put into one."""
        if not isinstance(value, str):
            return value
        if "\n" in value:
            file = str(CERTIFICATES / _SLASHES.sub("_", name))
            text = f"save its text as {file}, which nobody else may read"
        elif not value.startswith("/"):
            file = str(CERTIFICATES / PurePosixPath(value).name)
            text = f"its path is relative: put the file at {file}, or correct that"
        else:
            return value
        self._target.note(Kind.BY_HAND, where, text)
        return file

    def _verbs(self) -> list[str]:
        key = "disabledCommands"
        where = self._door.where_is(key)
        verbs = [str(verb).upper() for verb in listed(self._door.take(key))]
        kept: list[Plain] = [verb for verb in verbs if verb in _VERBS]
        if kept:
            self._put("disabled_commands", kept, where)
        for verb in verbs:
            if verb not in _VERBS and verb not in ("AUTH", "STARTTLS"):
                text = f"{shorten(verb)} cannot be disabled"
                self._note(Kind.LEFT_OUT, key, text)
        if "STARTTLS" in verbs and self._flag("starttls"):
            text = "STARTTLS is among disabledCommands, so there is none"
            self._note(Kind.DIFFERS, "starttls", text)
        return verbs

    def _methods(self, has_service: bool) -> None:
        key = "authMethods"
        where, kept = self._door.where_is(key), list[Plain]()
        for value in listed(self._door.take(key)):
            method = str(value).upper()
            if method == "XOAUTH2" and not has_service:
                text = "XOAUTH2 needs a service that knows tokens: users: http_auth"
                self._target.note(Kind.BY_HAND, where, text)
            elif method in _MECHANISMS:
                kept.append(method)
            else:
                text = f"{shorten(method)} is not offered; SCRAM-SHA-256 is"
                self._target.note(Kind.LEFT_OUT, where, text)
        if kept:
            self._put("auth_methods", kept, where)

    def _hidden(self) -> None:
        keys = [key for key in _HIDDEN if key in self._door]
        hidden: list[Plain] = [_HIDDEN[key] for key in keys if self._flag(key)]
        if hidden:
            comment = ", ".join(keys)
            where = self._door.where_is(keys[0])
            self._put("hidden_extensions", hidden, where, comment)


def is_reached(value: Plain) -> bool:
    """From beyond this machine; what is no address, our loader will speak of."""
    try:
        return value is not None and not is_loopback(parse_listen_host(str(value)))
    except ValueError:
        return False
