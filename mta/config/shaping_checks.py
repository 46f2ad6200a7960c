"""Whether rules of shaping and plans of warm-up fit the rest of the file."""

from collections.abc import Iterable

from mta.config.document import Document
from mta.config.draft import Draft
from mta.config.sections import Read
from mta.config.shaping import MAX_AFTER, SLOWEST, ShapingRule
from mta.config.warmup import WarmUp, built_in_plans
from mta.config.wording import join_words, shorten, suggest
from mta.config.zones import PoolAddress


def check_shaping(document: Document, draft: Draft) -> None:
    """Note every problem of the rules and plans of a file."""
    for rule in draft.shaping.values():
        _check_rule(document, rule)
        _check_names(document, draft, rule, "zones", draft.zones)
        _check_names(document, draft, rule, "providers", draft.providers)
    for pool in draft.pools.values():
        for entry in pool:
            _check_warmup(document, draft, entry)


def _check_rule(document: Document, rule: Read[ShapingRule]) -> None:
    value, path = rule.value, rule.path
    is_about = value.category or value.reply is not None
    if not is_about and rule.is_sure("category", "reply"):
        message = "says of no reply that it is about it; give it a category or a reply"
        document.note_key(path, message)
    is_slower = value.rate is not None or value.max_connections is not None
    is_sure = rule.is_sure("rate", "max_connections", "action")
    if is_sure and value.action == "slow" and not is_slower:
        document.note_key(path, "slows nothing; give it a rate or max_connections")
    elif is_sure and value.action != "slow" and is_slower:
        key = "max_connections" if value.rate is None else "rate"
        document.note_key((*path, key), "is for action: slow alone")
    if value.rate is not None and value.rate.interval > SLOWEST.interval:
        message = "is below 1/minute; write action: suspend, if that is meant"
        document.note((*path, "rate"), message)
    if value.after is not None and value.after.count > MAX_AFTER:
        document.note((*path, "after"), f"counts to {MAX_AFTER} at most")


def _check_names(
    document: Document,
    draft: Draft,
    rule: Read[ShapingRule],
    key: str,
    known: Iterable[str],
) -> None:
    if key in draft.doubtful:
        return
    names = list(known)
    for index, name in enumerate(getattr(rule.value, key)):
        if name not in names:
            hint = suggest(name, names) or f"there are {join_words(names[:10], 'and')}"
            message = f"no {key.removesuffix('s')} is called {shorten(name)}"
            document.note(
                rule.path_of(key, index), f"{message}; {hint}" if names else message
            )


def _check_warmup(document: Document, draft: Draft, entry: Read[PoolAddress]) -> None:
    warmup: WarmUp | None = entry.value.warmup
    if warmup is None or "warmup" in draft.doubtful:
        return
    plans = [*built_in_plans(), *draft.warmup]
    if warmup.plan not in plans:
        hint = suggest(warmup.plan, plans) or f"there are {join_words(plans, 'and')}"
        message = f"no plan is called {shorten(warmup.plan)}; {hint}"
        document.note((*entry.path, "warmup", "plan"), message)
