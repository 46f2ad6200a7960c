"""One host after another: what has failed so far, and what follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from mta.errors import AttemptFailed, TransientFailure
from mta.relay.failures import NoConnection, NotFromHere
from mta.relay.transcript import Talks
from mta.reply import make_reply

_NO_TIME = make_reply(450, "4.4.7", "Network error: no host answered in time")


@dataclass(frozen=True, slots=True)
class Search:
    """The hosts of one attempt that would not do, in the order they were tried.

    Attributes:
        budget: No further host is tried after this long.
        dialing: Nor after this long if none so far could be connected to: such a
            destination must not keep its slots from others for many minutes.
    """

    budget: timedelta
    dialing: timedelta
    failures: list[AttemptFailed] = field(default_factory=list)

    def is_over(self, elapsed_s: float) -> bool:
        """Whether it has taken long enough."""
        has_reached = any(not isinstance(f, NoConnection) for f in self.failures)
        patience = self.budget if has_reached else self.dialing
        return elapsed_s > patience.total_seconds()

    def note(self, failure: AttemptFailed) -> None:
        """A host would not do.

        Raises:
            AttemptFailed: This one, if another host would do no better.
        """
        if not failure.is_next_host_worth_trying:
            failure.talk = _all_said([*self.failures, failure])
            raise failure
        self.failures.append(failure)

    @property
    def result(self) -> AttemptFailed:
        """What the attempt has failed with: the best host's word counts."""
        if self.failures:
            first = self.failures[0]
            first.talk = _all_said(self.failures)
            return first
        return TransientFailure(_NO_TIME, category="network")

    @property
    def unreachable(self) -> AttemptFailed | None:
        """Why nobody need try again for now: no host that may be dialed answers.

        None if one did, or if it was this machine that could not reach any.
        """
        dialed = [
            failure
            for failure in self.failures
            if failure.category != "policy" and not isinstance(failure, NotFromHere)
        ]
        is_unreachable = all(isinstance(failure, NoConnection) for failure in dialed)
        return dialed[0] if dialed and is_unreachable else None


def _all_said(failures: Sequence[AttemptFailed]) -> object:
    talks = [failure.talk for failure in failures]
    return talks[0] if len(talks) == 1 else Talks(talks)
