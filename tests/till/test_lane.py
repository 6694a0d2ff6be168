"""The lane: what scans and keys do to the basket."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terminal_agent.devices.scanner import BadScan, Scan
from terminal_agent.identify import IdentifyRules
from terminal_agent.keys import (
    Cancel,
    CardNumber,
    Department,
    Number,
    Price,
    Quantity,
    Tender,
    Void,
)
from terminal_agent.known import Known
from terminal_agent.lane import Answer, Draft, Lane, LaneKey, State
from terminal_agent.now import Now
from wire.events import TenderKind
from wire.feed import Product

MILK = "4006381333931"
BREAD = "6291041500213"
UNPRICED = "5901234123457"
CARD = "2900000012288"
OTHER_CARD = "2900000000001"


@pytest.fixture
def do(
    lane: Lane, known: Known, at: Callable[[float], Now], scan: Callable[..., Scan]
) -> Callable[..., Answer]:
    """Scans a text or presses a key, one second after the one before."""
    moment = [0.0]

    def step(what: str | LaneKey, after_s: float = 1.0, aim: str | None = None) -> Answer:
        moment[0] += after_s
        now = at(moment[0])
        if isinstance(what, str):
            return lane.scanned(scan(what, moment[0], aim), known, now)
        return lane.keyed(what, known, now)

    return step


def codes(answer: Answer) -> list[str]:
    return [message.code for message in answer.messages]


def test_a_product_opens_a_basket(do: Callable[..., Answer], lane: Lane):
    assert lane.state is State.IDLE
    do(MILK)
    assert lane.state is State.OPEN
    assert lane.basket is not None
    assert lane.basket.total_cents == 250


def test_a_keyed_quantity_multiplies_the_next_product_only(do: Callable[..., Answer], lane: Lane):
    do(Quantity(value=3))
    do(MILK)
    do(BREAD)
    assert lane.basket is not None
    assert [item.line.quantity for item in lane.basket.items] == [3, 1]
    assert lane.basket.total_cents == 3 * 250 + 199


def test_a_keyed_price_is_the_price_of_the_whole_line(do: Callable[..., Answer], lane: Lane):
    do(Quantity(value=3))
    do(Price(cents=500))
    do(MILK)
    assert lane.basket is not None
    line = lane.basket.items[0].line
    assert (line.quantity, line.amount_cents, line.keyed) == (3, 500, True)


def test_a_free_article_is_a_line_of_quantity_zero(do: Callable[..., Answer], lane: Lane):
    do(Quantity(value=0))
    do(MILK)
    assert lane.basket is not None
    assert lane.basket.items[0].line.amount_cents == 0


def test_an_unknown_product_says_what_to_do_and_sells_at_a_keyed_price(
    do: Callable[..., Answer], lane: Lane
):
    answer = do("4012345678901")
    assert codes(answer) == ["unknown_product"]
    assert "Key its price" in answer.messages[0].fix
    do(Price(cents=99))
    do("4012345678901")
    assert lane.basket is not None
    assert lane.basket.total_cents == 99


def test_a_product_without_a_price_asks_for_one(do: Callable[..., Answer]):
    assert codes(do(UNPRICED)) == ["no_price"]


def test_a_price_list_may_know_codes_that_are_no_gtin(
    lane: Lane, known: Known, at: Callable[[float], Now], scan: Callable[..., Scan]
):
    listed = replace(known, products={"PLU-7": Product("PLU-7", "Apples", 120)})
    lane.scanned(scan("PLU-7"), listed, at(1))
    assert lane.basket is not None
    assert lane.basket.total_cents == 120


def test_a_card_before_any_product_opens_the_basket_and_names_the_member(
    do: Callable[..., Answer], lane: Lane
):
    answer = do(CARD)
    assert answer.messages == ()
    assert lane.basket is not None
    assert lane.basket.link is not None
    assert lane.basket.link.member == 1228


def test_the_same_card_gives_the_same_token_scanned_or_typed(do: Callable[..., Answer], lane: Lane):
    do(CARD)
    assert lane.basket is not None
    scanned = lane.basket.link
    do(CardNumber(text="29 00000 012288"))
    typed = lane.basket.link
    assert scanned is not None
    assert typed is not None
    assert scanned.token == typed.token
    assert (scanned.how, typed.how) == ("card", "typed")


def test_an_unknown_card_stays_on_the_sale_by_its_token(do: Callable[..., Answer], lane: Lane):
    answer = do(OTHER_CARD)
    assert codes(answer) == ["card_unknown"]
    assert lane.basket is not None
    assert lane.basket.link is not None
    assert lane.basket.link.member is None


def test_a_misread_card_is_refused_and_does_not_touch_the_basket(
    do: Callable[..., Answer], lane: Lane
):
    do(MILK)
    do("2900000012289")
    assert lane.basket is not None
    assert lane.basket.link is None
    assert lane.basket.failed_scans == 1


def test_a_typed_number_that_is_no_card_is_refused(do: Callable[..., Answer]):
    assert codes(do(CardNumber(text=MILK))) == ["no_card_number"]


def test_a_typed_product_number_is_rung_up(do: Callable[..., Answer], lane: Lane):
    do(Number(text=MILK))
    assert lane.basket is not None
    assert lane.basket.total_cents == 250


def test_a_line_can_be_taken_back(do: Callable[..., Answer], lane: Lane):
    do(MILK)
    do(BREAD)
    do(Void(line=1))
    assert lane.basket is not None
    assert [item.name for item in lane.basket.items] == ["Bread"]
    assert lane.basket.voided_lines == 1
    assert codes(do(Void(line=5))) == ["no_such_line"]


def test_one_beep_of_an_article_with_two_codes_rings_it_up_once(
    do: Callable[..., Answer], lane: Lane
):
    do(MILK, aim="E0")
    do(f"01{MILK:0>14}", after_s=0.1, aim="d2")
    assert lane.basket is not None
    assert len(lane.basket.items) == 1


def test_two_of_the_same_article_are_two_lines(do: Callable[..., Answer], lane: Lane):
    do(MILK, aim="E0")
    do(MILK, after_s=0.2, aim="E0")
    assert lane.basket is not None
    assert len(lane.basket.items) == 2


def test_cash_beyond_what_is_due_gives_change(do: Callable[..., Answer]):
    do(MILK)
    draft = do(Tender(kind="cash", cents=500)).draft
    assert draft is not None
    assert draft.change_cents == 250


def test_a_card_payment_cannot_be_more_than_what_is_due(do: Callable[..., Answer]):
    do(MILK)
    assert codes(do(Tender(kind="card", cents=500))) == ["card_too_much"]


def test_two_tenders_pay_one_basket(do: Callable[..., Answer]):
    do(MILK)
    assert do(Tender(kind="cash", cents=100)).draft is None
    draft = do(Tender(kind="card")).draft
    assert draft is not None
    assert [t.amount_cents for t in draft.tenders] == [100, 150]


def test_a_basket_that_costs_nothing_is_closed_by_a_tender(do: Callable[..., Answer]):
    do(Quantity(value=0))
    do(MILK)
    draft = do(Tender(kind="cash")).draft
    assert draft is not None
    assert draft.total_cents == 0


def test_nothing_is_paid_without_a_line(do: Callable[..., Answer]):
    assert codes(do(Tender(kind="cash"))) == ["no_basket"]
    do(CARD)
    assert codes(do(Tender(kind="cash"))) == ["nothing_to_pay"]


def test_the_basket_stays_until_the_sale_is_committed(do: Callable[..., Answer], lane: Lane):
    do(MILK)
    draft = do(Tender(kind="cash")).draft
    assert draft is not None
    assert lane.state is State.OPEN
    lane.committed(draft)
    assert lane.state is State.IDLE


def test_a_failed_commit_takes_back_the_tender_and_keeps_the_basket(
    do: Callable[..., Answer], lane: Lane
):
    do(MILK)
    do(Tender(kind="cash"))
    lane.not_committed()
    assert lane.basket is not None
    assert lane.basket.due_cents == 250
    again = do(Tender(kind="cash")).draft
    assert again is not None
    assert [t.amount_cents for t in again.tenders] == [250]


def test_a_basket_that_is_partly_paid_cannot_be_dropped(do: Callable[..., Answer], lane: Lane):
    do(MILK)
    do(Tender(kind="cash", cents=100))
    assert codes(do(Cancel())) == ["paid_already"]
    assert lane.state is State.OPEN


def test_a_dropped_basket_leaves_nothing_behind(do: Callable[..., Answer], lane: Lane):
    do(Quantity(value=9))
    do(MILK)
    do(Quantity(value=9))
    do(Cancel())
    do(BREAD)
    assert lane.basket is not None
    assert lane.basket.total_cents == 199


def test_a_department_line_needs_no_code(do: Callable[..., Answer], lane: Lane):
    do(Department(cents=1234, code="7"))
    assert lane.basket is not None
    assert lane.basket.items[0].line.code == "D7"


def test_a_voucher_pays_and_the_turnover_stays(do: Callable[..., Answer], mint: Callable[..., str]):
    do(MILK)
    assert do(mint()).messages == ()
    draft = do(Tender(kind="cash")).draft
    assert draft is not None
    assert draft.total_cents == 250
    assert [(t.kind, t.amount_cents) for t in draft.tenders] == [
        (TenderKind.VOUCHER, 100),
        (TenderKind.CASH, 150),
    ]


def test_a_voucher_pays_no_more_than_the_basket(
    do: Callable[..., Answer], mint: Callable[..., str]
):
    do(MILK)
    do(mint(value_cents=1000))
    draft = do(Tender(kind="cash")).draft
    assert draft is not None
    assert [t.amount_cents for t in draft.tenders] == [250]
    assert draft.change_cents == 0


@pytest.mark.parametrize(
    ("voucher", "code"),
    [
        ({"expires_at_ms": 1}, "voucher_expired"),
        ({"member": 7}, "voucher_not_this_member"),
        ({"issuer": "stranger"}, "voucher_unknown_issuer"),
    ],
)
def test_a_voucher_that_is_not_good_is_refused_and_recorded(
    do: Callable[..., Answer],
    mint: Callable[..., str],
    voucher: dict[str, object],
    code: str,
):
    do(MILK)
    assert codes(do(mint(**voucher))) == [code]
    draft = do(Tender(kind="cash")).draft
    assert draft is not None
    assert draft.redeemed == ()
    assert [f"voucher_{refused.reason}" for refused in draft.refused] == [code]


def test_a_members_voucher_is_good_on_the_members_basket(
    do: Callable[..., Answer], mint: Callable[..., str]
):
    do(CARD)
    do(MILK)
    assert do(mint(member=1228)).messages == ()


def test_a_members_voucher_leaves_the_basket_with_the_members_card(
    do: Callable[..., Answer], mint: Callable[..., str], lane: Lane
):
    do(CARD)
    do(MILK)
    do(mint(member=1228))
    assert codes(do(OTHER_CARD)) == ["voucher_not_this_member", "card_unknown"]
    assert lane.basket is not None
    assert lane.basket.vouchers == []


def test_a_voucher_counts_once_on_a_basket_and_once_at_a_till(
    do: Callable[..., Answer], mint: Callable[..., str], lane: Lane
):
    do(MILK)
    do(mint())
    assert codes(do(mint())) == ["voucher_already_presented"]
    draft = do(Tender(kind="cash")).draft
    assert draft is not None
    lane.committed(draft)
    do(MILK)
    assert codes(do(mint())) == ["voucher_already_redeemed"]


def test_a_bad_scan_is_told_and_counted(
    do: Callable[..., Answer], lane: Lane, known: Known, at: Callable[[float], Now]
):
    do(MILK)
    answer = lane.scanned(BadScan("not_text", "·ÿ·", 1.0), known, at(5))
    assert codes(answer) == ["not_text"]
    assert answer.messages[0].fix
    assert lane.basket is not None
    assert lane.basket.failed_scans == 1


def test_the_checkout_is_measured_from_the_first_input(do: Callable[..., Answer], lane: Lane):
    do(CARD)
    do(MILK)
    lane.answered(700)
    lane.answered(300)
    draft = do(Tender(kind="cash")).draft
    assert draft is not None
    assert draft.checkout.duration_ms == 2000
    assert draft.checkout.slowest_answer_us == 700


def test_a_payment_of_nothing_is_refused_while_something_is_due(do: Callable[..., Answer]):
    do(MILK)
    assert codes(do(Tender(kind="cash", cents=0))) == ["no_amount"]


def test_a_sale_never_has_more_parts_than_the_wire_carries(do: Callable[..., Answer]):
    do(Department(cents=10_000))
    told: list[str] = []
    for _ in range(70):
        told += codes(do(Tender(kind="cash", cents=1)))
        do("KV1.AAAAAAAA")
    assert "tenders_full" in told
    draft = do(Tender(kind="cash")).draft
    assert draft is not None
    assert len(draft.tenders) <= 64
    assert len(draft.refused) <= 32


def test_no_basket_is_worth_more_than_the_wire_carries(do: Callable[..., Answer]):
    do(Department(cents=10**12))
    assert codes(do(Department(cents=1))) == ["too_much_money"]


STEPS = st.lists(
    st.sampled_from([MILK, BREAD, CARD, "rubbish", "4012345678901", "KV1.AAAA"])
    | st.sampled_from([Void(), Cancel(), Tender(kind="card"), Void(line=2)])
    | st.builds(Quantity, value=st.integers(0, 5))
    | st.builds(Price, cents=st.integers(0, 999))
    | st.builds(Tender, kind=st.just("cash"), cents=st.integers(0, 2000)),
    max_size=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_is_keyed_a_draft_always_adds_up(
    known: Known, rules: IdentifyRules, steps: list[str | LaneKey]
):
    lane = Lane(rules, set())
    for i, step in enumerate(steps):
        now = Now(1_494_763_200_000 + i, float(i))
        if isinstance(step, str):
            answer = lane.scanned(Scan(step, None, float(i)), known, now)
        else:
            answer = lane.keyed(step, known, now)
        assert all(message.message and message.fix for message in answer.messages)
        if answer.draft is not None:
            _adds_up(answer.draft)
            lane.committed(answer.draft)


def _adds_up(draft: Draft) -> None:
    assert draft.items
    assert draft.total_cents == sum(item.line.amount_cents for item in draft.items)
    assert sum(t.amount_cents for t in draft.tenders) - draft.change_cents == draft.total_cents
    assert draft.change_cents >= 0
