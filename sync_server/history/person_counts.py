"""What the persons of a window did, as counts that add up over persons. Pure."""

from typing import Any, NamedTuple

from sync_server.history.counting import count_after, count_care
from sync_server.history.looking import Look
from sync_server.history.selling import count_buyers
from sync_server.journeys.care import CareTally, Next

NUMBERS = (
    *("complaints", "returns", "bought_again"),
    *("referrals_given", "referrals_used", "rewards_used"),
)
"""Of a `CareTally`."""
BUYERS, REWARDED, MINUTES, NEXT, AFTER = "buyers", "rewarded", "minutes", "next", "after"


class PersonCounts(NamedTuple):
    """Of one window."""

    buyers: int
    """Persons with a sale."""
    care: CareTally
    """Of known persons."""
    rewarded: int
    """Persons who used a reward."""
    after_cents: dict[str, int]
    """`count_after`."""


def count_persons(
    look: Look, holders: Look, now_ms: int, campaign: str | None = None
) -> dict[Any, int]:
    """The counts of a look, flat; `told` says what they are. `count_after` is told of the holders
    of vouchers, and of the campaign.
    """
    care, rewarded = count_care(look, now_ms)
    found: dict[Any, int] = {BUYERS: count_buyers(look), REWARDED: rewarded}
    found |= {name: getattr(care, name) for name in NUMBERS}
    found |= {(MINUTES, minutes): number for minutes, number in care.answer_minutes.items()}
    found |= {(NEXT, what.value): number for what, number in care.next.items()}
    after = count_after(holders, campaign, now_ms)
    return found | {(AFTER, campaign): cents for campaign, cents in after.items()}


def told(counts: dict[Any, int]) -> PersonCounts:
    """What `count_persons` counted."""

    def of(what: str) -> dict[Any, int]:
        return {
            key[1]: number
            for key, number in counts.items()
            if isinstance(key, tuple) and key[0] == what
        }

    care = CareTally(
        **{name: counts.get(name, 0) for name in NUMBERS},
        answer_minutes=of(MINUTES),
        next={Next(what): number for what, number in of(NEXT).items()},
    )
    return PersonCounts(counts.get(BUYERS, 0), care, counts.get(REWARDED, 0), of(AFTER))
