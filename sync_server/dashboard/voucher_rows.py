"""Vouchers and campaigns as the pages say them. Pure."""

from sync_server.dashboard.kpi_rows import interval
from sync_server.dashboard.page import Row, beside
from sync_server.dashboard.wording import Wording
from sync_server.journeys.kpis import Unit
from sync_server.journeys.summary import Summary
from sync_server.journeys.vouchers import Campaign, Uplift

NOTHING = "–"
_ROWS = ("decided", "held_out", "printed", "maybe_printed", "void", "reserved", "redeemed")


def voucher_rows(summary: Summary, words: Wording) -> list[Row]:
    """Vouchers by the state of their paper, redeemed, and refused by reason."""
    now, before = summary.current.vouchers, summary.previous and summary.previous.vouchers
    rows = [
        beside(words(name), getattr(now, name), before and getattr(before, name), words)
        for name in (*_ROWS, "redeemed_again", "expired")
    ]
    value = words.money(now.redeemed_cents)
    rows.append(
        Row(
            words("redeemed_value"),
            (value, words.money(before.redeemed_cents) if before else NOTHING),
        )
    )
    for reason in sorted({*now.refused, *(before.refused if before else ())}):
        label = words("refused", reason=words.kind(reason))
        earlier = before.refused.get(reason, 0) if before else None
        rows.append(beside(label, now.refused.get(reason, 0), earlier, words))
    return rows


def campaign_rows(summary: Summary, words: Wording) -> list[Row]:
    """Each campaign: redemption rate, days, turnover."""
    earlier = {c.campaign: c for c in (summary.previous.campaigns if summary.previous else ())}
    return [
        Row(
            now.campaign,
            (
                words.number(now.decided),
                _rate(now, words),
                _rate_alone(earlier.get(now.campaign), words),
                _days(now, words),
                words.money(now.basket_cents),
                words.money(now.after_cents),
            ),
        )
        for now in summary.current.campaigns
    ]


def uplift_rows(summary: Summary, words: Wording) -> list[Row]:
    """Each campaign that holds somebody out: who came back with and without a voucher."""
    return [
        Row(campaign.campaign, _uplift(campaign.uplift, words))
        for campaign in summary.current.campaigns
        if campaign.uplift is not None
    ]


def _uplift(uplift: Uplift, words: Wording) -> tuple[str, ...]:
    difference = NOTHING
    if uplift.difference is not None and uplift.interval is not None:
        points = words("points", n=words.signed(100 * uplift.difference, 1))
        low, high = (
            words.signed(100 * bound, 1) for bound in (uplift.interval.low, uplift.interval.high)
        )
        difference = f"{points} ({words('interval', low=low, high=high)})"
    return (
        _back(uplift.offered_back, uplift.offered, words),
        _back(uplift.held_out_back, uplift.held_out, words),
        difference,
        words.number(uplift.waiting),
    )


def _back(part: int, whole: int, words: Wording) -> str:
    share = words.share(part, whole)
    return words("part_of", share=share, part=words.number(part), whole=words.number(whole))


def _rate(campaign: Campaign, words: Wording) -> str:
    if campaign.redemption_rate is None:
        return NOTHING
    rate = words.share(campaign.redemption_rate, 1)
    found = campaign.redemption_interval
    return rate if found is None else f"{rate} ({interval(found, Unit.SHARE, words)})"


def _rate_alone(campaign: Campaign | None, words: Wording) -> str:
    if campaign is None or campaign.redemption_rate is None:
        return NOTHING
    return words.share(campaign.redemption_rate, 1)


def _days(campaign: Campaign, words: Wording) -> str:
    days = campaign.days_to_redeem
    return NOTHING if days is None else words.number(days.median)
