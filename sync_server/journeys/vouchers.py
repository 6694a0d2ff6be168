"""Vouchers and campaigns: decided, printed, redeemed, and what they changed. Pure.

Held out by chance are those whose voucher a till kept back (`wire.holdout`); what they do is what
customers do without the voucher.
"""

from msgspec import Struct, field

from sync_server.journeys.intervals import Interval, difference_interval, share_interval
from sync_server.journeys.spread import Spread, part_of, spread
from sync_server.journeys.tally import VoucherTally
from sync_server.journeys.touchpoint import DAY_MS

REDEEMED = "voucher_redeemed"
UPLIFT_DAYS = 30
"""How long somebody has to come back, to count as a repeat purchase."""
UPLIFT_MS = UPLIFT_DAYS * DAY_MS
ON_PAPER = ("printed", "maybe_printed")


class CampaignTally(Struct):
    """Counts over the vouchers decided in a window, and over the redemptions in it.

    Windows of disjoint days or stores add up. The first text of a key is the campaign.
    """

    states: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    """(campaign, state of the paper) → vouchers decided."""
    held_out: dict[str, int] = field(default_factory=dict[str, int])
    """Sales that got none by chance."""
    taken: dict[str, int] = field(default_factory=dict[str, int])
    """Vouchers decided in the window that were redeemed by its `now_day`, once or more."""
    taken_days: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    """(campaign, days from decision to the first redemption) → vouchers."""
    expired: dict[str, int] = field(default_factory=dict[str, int])
    """Printed, and past their last day without a redemption."""
    redeemed: dict[str, int] = field(default_factory=dict[str, int])
    """Redemptions in the window, of vouchers of whatever day."""
    redeemed_cents: dict[str, int] = field(default_factory=dict[str, int])
    again: dict[str, int] = field(default_factory=dict[str, int])
    """Redemptions in the window of a voucher that had been redeemed before."""
    baskets: dict[str, int] = field(default_factory=dict[str, int])
    """Sales of the window that took a voucher."""
    basket_cents: dict[str, int] = field(default_factory=dict[str, int])


class Trial(Struct):
    """What became of the persons of one campaign, by chance with or without a voucher.

    Of whole periods only: a person counts once, by their first decision in the period.
    """

    offered: int = 0
    offered_back: int = 0
    """Of those, the ones who bought again within `UPLIFT_DAYS`."""
    held_out: int = 0
    held_out_back: int = 0
    waiting: int = 0
    """Decided less than `UPLIFT_DAYS` before the summary's day: not counted yet."""
    both: int = 0
    """Once offered, once held out, because the share was changed: not counted."""


class CampaignsWhole(Struct):
    """What does not add up over days: persons count once in a period."""

    trials: dict[str, Trial] = field(default_factory=dict[str, Trial])
    after_cents: dict[str, int] = field(default_factory=dict[str, int])
    """What redeemers spent in the `UPLIFT_DAYS` after a redemption of the window, its basket
    apart; a sale counts once."""


class Uplift(Struct, frozen=True):
    """Repeat purchases of those offered a voucher, less those of the persons held out by chance."""

    offered: int
    offered_back: int
    held_out: int
    held_out_back: int
    waiting: int
    both: int
    difference: float | None
    """Of the two shares that bought again within 30 days; None without persons on both sides."""
    interval: Interval | None


class Campaign(Struct, frozen=True):
    """A campaign in a period. Money in cents."""

    campaign: str
    decided: int
    """Sales that earned a voucher, whether they got it or were held out."""
    held_out: int
    printed: int
    maybe_printed: int
    void: int
    reserved: int
    """Paper of which nothing is known yet."""
    taken: int
    """Of the vouchers decided in the period, those redeemed by the summary's day."""
    redemption_rate: float | None
    """`taken` of those printed for certain or perhaps."""
    redemption_interval: Interval | None
    days_to_redeem: Spread | None
    expired: int
    redeemed: int
    """Redemptions in the period, whenever their voucher was decided."""
    redeemed_cents: int
    redeemed_again: int
    baskets: int
    basket_cents: int
    """The totals of the sales that took one."""
    after_cents: int
    uplift: Uplift | None


class Vouchers(Struct, frozen=True):
    """Vouchers of the period's sales by the state of their paper, and what was presented."""

    decided: int
    held_out: int
    reserved: int
    printed: int
    maybe_printed: int
    void: int
    redeemed: int
    redeemed_cents: int
    redeemed_again: int
    """Redemptions of a voucher that had been redeemed before, at another till most often."""
    expired: int
    refused: dict[str, int]
    """Reason → times."""


def vouchers_of(vouchers: VoucherTally, campaigns: CampaignTally) -> Vouchers:
    """All campaigns together."""
    states = vouchers.states
    held_out = sum(campaigns.held_out.values())
    return Vouchers(
        decided=sum(states.values()) + held_out,
        held_out=held_out,
        reserved=states.get("reserved", 0),
        printed=states.get("printed", 0),
        maybe_printed=states.get("maybe_printed", 0),
        void=states.get("void", 0),
        redeemed=vouchers.redeemed,
        redeemed_cents=vouchers.redeemed_cents,
        redeemed_again=sum(campaigns.again.values()),
        expired=sum(campaigns.expired.values()),
        refused=dict(sorted(vouchers.refused.items())),
    )


def campaigns_of(tally: CampaignTally, whole: CampaignsWhole) -> tuple[Campaign, ...]:
    """Each campaign that decided or redeemed a voucher in the period, by name."""
    names = {name for name, _ in tally.states} | set(tally.held_out) | set(tally.redeemed)
    return tuple(_campaign(name, tally, whole) for name in sorted(names))


def _campaign(name: str, tally: CampaignTally, whole: CampaignsWhole) -> Campaign:
    states = {state: count for (of, state), count in tally.states.items() if of == name}
    on_paper = sum(states.get(state, 0) for state in ON_PAPER)
    taken = tally.taken.get(name, 0)
    held_out = tally.held_out.get(name, 0)
    return Campaign(
        campaign=name,
        decided=sum(states.values()) + held_out,
        held_out=held_out,
        printed=states.get("printed", 0),
        maybe_printed=states.get("maybe_printed", 0),
        void=states.get("void", 0),
        reserved=states.get("reserved", 0),
        taken=taken,
        redemption_rate=round(taken / on_paper, 6) if on_paper else None,
        redemption_interval=share_interval(taken, on_paper) if taken <= on_paper else None,
        days_to_redeem=spread(part_of(tally.taken_days, name)),
        expired=tally.expired.get(name, 0),
        redeemed=tally.redeemed.get(name, 0),
        redeemed_cents=tally.redeemed_cents.get(name, 0),
        redeemed_again=tally.again.get(name, 0),
        baskets=tally.baskets.get(name, 0),
        basket_cents=tally.basket_cents.get(name, 0),
        after_cents=whole.after_cents.get(name, 0),
        uplift=uplift_of(whole.trials[name]) if name in whole.trials else None,
    )


def uplift_of(trial: Trial) -> Uplift:
    """The difference of the shares that came back, with its interval."""
    difference = None
    if trial.offered and trial.held_out:
        offered = trial.offered_back / trial.offered
        difference = round(offered - trial.held_out_back / trial.held_out, 6)
    return Uplift(
        offered=trial.offered,
        offered_back=trial.offered_back,
        held_out=trial.held_out,
        held_out_back=trial.held_out_back,
        waiting=trial.waiting,
        both=trial.both,
        difference=difference,
        interval=difference_interval(
            trial.offered_back, trial.offered, trial.held_out_back, trial.held_out
        ),
    )
