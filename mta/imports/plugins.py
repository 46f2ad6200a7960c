"""Plugins of ZoneMTA: what the ones that come with it are here."""

from typing import Final
from urllib.parse import urlsplit

from mta.imports.report import Kind, Where
from mta.imports.rules import (
    Carry,
    Rules,
    apply,
    flag,
    left_out,
    listed,
    seconds,
)
from mta.imports.source import Branch, Plain, Section
from mta.imports.target import Target

HTTP_AUTH_URL: Final = "HTTP_AUTH_URL"

_NOT_YET = "not available in this version"
_SCANNER = f"scanning is {_NOT_YET}; have the mail scanned before it comes here"
PLUGINS: Final = {
    "core/example-plugin": "an example, which is of no use here",
    "core/http-config": f"{_NOT_YET}; what a sender may do, mta user says",
    "core/http-bounce": f"calls about bounces are {_NOT_YET}",
    "core/api-send": "set max_recipients under api",
    "core/clamav": _SCANNER,
    "core/rspamd": _SCANNER,
    "modules/zonemta-avast": _SCANNER,
    "core/srs": "write srs: {secret, domain}; its secret was not copied",
    "core/email-bounce": f"delivery status notifications are {_NOT_YET}",
    "core/image-hashes": f"hashes of attachments are {_NOT_YET}",
    "core/delivery-loop": f"counting of hops is {_NOT_YET}",
    "modules/zonemta-delivery-counters": "counters are metrics here; see /metrics",
    "modules/zonemta-loop-breaker": f"{_NOT_YET}; its secret was not copied",
    "modules/zonemta-limiter": (
        "give users quotas (mta user), tenants weights, domains and providers rates"
    ),
    "modules/zonemta-wildduck": f"WildDuck's users and mailboxes are {_NOT_YET}",
}
_OTHER = "a plugin of JavaScript, which does not run here"
_ORDER = left_out("there is no order of plugins to be set")


def _lower(value: Plain) -> Plain:
    return value.lower() if isinstance(value, str) else value


def _names(value: Plain) -> Plain:
    """Names of fields; in one text they stand between colons."""
    names = value.split(":") if isinstance(value, str) else listed(value)
    return [_lower(name) for name in names]


_HEADERS: Final[Rules] = {
    "addMissing": Carry("add_missing", lambda value: [*map(_lower, listed(value))]),
    "futureDate": Carry("future_date", flag),
    "xOriginatingIP": Carry("x_originating_ip", flag),
    "ordering": _ORDER,
}
_LOGINS: Final[Rules] = {"ordering": _ORDER}
_SIGNING: Final[Rules] = {
    "signTransportDomain": Carry(
        "sign_transport_domain", flag, "ZoneMTA never did it; here it is done"
    ),
    "headerFields": Carry("header_fields", _names),
    "additionalHeaderFields": Carry("additional_header_fields", _names),
    "addSignatureTimestamp": Carry("add_signature_timestamp", flag),
    "signatureExpireIn": Carry("signature_expire_in", seconds),
    "ordering": _ORDER,
}


class Plugins:
    """What of the plugins concerns other parts of the file.

    Attributes:
        routed: Interfaces whose clients may choose zones, and who says so.
        has_service: A web service knows the logins.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self.routed: dict[str, Where] = {}
        self.has_service = False

    def read(self, section: Section | None) -> None:
        """Take over what can be."""
        for key in section.rest() if section else ():
            assert section is not None  # noqa: S101 - or there was no key
            self._plugin(section, key)

    def _plugin(self, section: Section, key: str) -> None:
        where = section.where_is(key)
        plugin = section.enter(key)
        is_on = flag(section.take(key)) if plugin is None else _is_on(plugin)
        plugin = plugin or Section(Branch(where.file), where)
        if key == "core/default-headers":
            self._headers(plugin, bool(is_on))
        elif not is_on:
            self._target.note(Kind.NO_EFFECT, where, "it is off")
        elif key == "core/http-auth":
            self._service(plugin)
        elif key == "core/dkim":
            self._signing(plugin)
        else:
            text = PLUGINS.get(key, _OTHER)
            self._target.note(Kind.LEFT_OUT, where, text)

    def _headers(self, plugin: Section, is_on: bool) -> None:
        target, path = self._target, ("queue",)
        if not is_on:
            target.put((*path, "add_missing"), [], plugin.where)
            target.put((*path, "x_originating_ip"), False, plugin.where)
            text = "off; yet Bcc and X-Sending-Zone are always removed"
            target.note(Kind.DIFFERS, plugin.where, text)
            return
        target.note(Kind.SAME, plugin.where, "")
        key = "allowRoutingHeaders"
        for index, name in enumerate(listed(plugin.take(key))):
            where = plugin.where_is(key).at(index)
            if name in ("api", "bounce"):
                target.note(Kind.SAME, where, "")
            else:
                self.routed[str(name)] = where
        apply(target, plugin, path, _HEADERS)

    def _service(self, plugin: Section) -> None:
        target, path = self._target, ("users", "http_auth")
        where, url = plugin.where_is("url"), plugin.take("url")
        if not isinstance(url, str) or not url:
            text = "it has no url; name the service in users: http_auth"
            target.note(Kind.BY_HAND, plugin.where, text)
        elif _has_login(url):
            text = (
                "its url holds a name or a password, which ours may not; let the "
                "service know this machine otherwise, and name it in users: http_auth"
            )
            target.note(Kind.BY_HAND, where, text)
        else:
            self.has_service = True
            if "?" in url:
                target.put_secret(path, HTTP_AUTH_URL, url, where)
            else:
                target.put(path, url, where)
            text = "it is asked about users alone that mta user does not know"
            target.note(Kind.DIFFERS, where, text)
        apply(target, plugin, ("users",), _LOGINS)

    def _signing(self, plugin: Section) -> None:
        """Its one key signs for everybody who has none of his own."""
        target, path = self._target, ("dkim",)
        where, file = plugin.where_is("path"), plugin.take("path")
        selector, domain = plugin.take("selector"), plugin.take("domain")
        key = {"selector": selector, "path": file, "domain": domain}
        if isinstance(file, str) and file.startswith("/") and selector:
            said: Plain = {name: value for name, value in key.items() if value}
            target.put((*path, "keys", "*"), [said], where)
            text = (
                "it signs in the name of the author's domain, and not of MAIL FROM's"
                if not domain
                else "the file may be readable by its owner and a group alone"
            )
            target.note(Kind.DIFFERS, where, text)
        else:
            text = "name its key under dkim: keys, with an absolute path and a selector"
            target.note(Kind.BY_HAND, plugin.where, text)
        apply(target, plugin, path, _SIGNING)


def _is_on(plugin: Section) -> bool:
    """``enabled`` is true, or names processes; nothing said is taken for a yes."""
    return "enabled" not in plugin or bool(plugin.take("enabled"))


def _has_login(url: str) -> bool:
    try:
        return "@" in urlsplit(url).netloc
    except ValueError:
        return "@" in url
