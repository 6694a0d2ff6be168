"""Which voucher a sale gets, and who is held out by chance."""

from hypothesis import given
from hypothesis import strategies as st

from terminal_agent.offers import DAY_MS, decide
from wire.events import HeldOut, Link
from wire.feed import Offer
from wire.holdout import is_held_out

KEY = bytes(range(16))
OFFER = Offer("spring", "1.00 off", 100, 30, 500, 0.2, KEY)
MEMBERS = range(20_000)


def link(member: int | None) -> Link:
    return Link("card", b"t" * 16, member)


def held(share: float, key: bytes = KEY, campaign: str = "spring") -> set[int]:
    return {member for member in MEMBERS if is_held_out(key, campaign, member, share)}


def test_a_member_held_out_gets_nothing_and_the_sale_says_of_which_campaign() -> None:
    member = min(held(0.2))
    decision = decide((OFFER, Offer("other", "x", 1, 1)), link(member), 500, 0, "1-1")
    assert decision is not None
    assert (decision.voucher, decision.held_out) == (None, (HeldOut("spring"),))


def test_a_member_who_is_not_gets_the_voucher_and_the_sale_says_nothing() -> None:
    member = min(set(MEMBERS) - held(0.2))
    decision = decide((OFFER,), link(member), 500, 7, "1-1")
    assert decision is not None
    assert decision.voucher is not None
    assert decision.voucher.expires_at_ms == 7 + 30 * DAY_MS
    assert decision.held_out == ()


def test_somebody_whom_the_offer_does_not_fit_is_not_held_out_of_it() -> None:
    member = min(held(0.2))
    assert decide((OFFER,), link(member), 499, 0, "1-1") is None
    assert decide((OFFER,), link(None), 500, 0, "1-1") is None
    assert decide((OFFER,), None, 500, 0, "1-1") is None


def test_as_many_are_held_out_as_the_share_says() -> None:
    # 20,000 draws of 0.1: four standard deviations are 170.
    assert abs(len(held(0.1)) - 2_000) < 170
    assert held(0.0) == set()
    assert held(1.0) == set(MEMBERS)


def test_campaigns_and_keys_hold_out_others() -> None:
    # Independent draws meet in a hundredth.
    for others in (held(0.1, campaign="summer"), held(0.1, key=b"other")):
        assert abs(len(held(0.1) & others) - 200) < 60


@given(st.integers(0, 2**32 - 2), st.floats(0, 1), st.floats(0, 1))
def test_who_is_held_out_at_one_share_is_so_at_a_larger_one(
    member: int, one: float, other: float
) -> None:
    small, large = sorted((one, other))
    assert is_held_out(KEY, "c", member, large) >= is_held_out(KEY, "c", member, small)


def test_the_draw_is_the_same_on_every_machine_and_in_every_version() -> None:
    assert sorted(held(0.001))[:5] == [1068, 1097, 1904, 1972, 2012]
