"""Corrections at the lane: no sale carries a member who was neither read exactly nor accepted."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from native.matcher import MemberIndex, Scheme, build
from terminal_agent.devices.scanner import Scan
from terminal_agent.identify import CardRule, IdentifyRules
from terminal_agent.identity import verify
from terminal_agent.keys import (
    Accept,
    Cancel,
    CardNumber,
    Department,
    Number,
    Quantity,
    Reject,
    Tender,
    Void,
)
from terminal_agent.known import Known, MembersUnusable
from terminal_agent.lane import Answer, Lane, LaneKey, State
from terminal_agent.members import MemberLookup
from terminal_agent.now import Now
from wire.events import LinkHow
from wire.feed import Product
from wire.identifiers import gs1_check_digit, identifier_token, luhn_check_digit

KEY = bytes(range(32))
MILK = "4006381333931"
RULES = IdentifyRules(
    (
        CardRule("loyalty", ("29",), (13,), "gs1"),
        CardRule("partner", ("6035",), (16,), "luhn", "partner"),
    )
)


def loyalty(n: int) -> str:
    payload = f"29{n:010d}"
    return payload + gs1_check_digit(payload)


def partner(n: int) -> str:
    payload = f"6035{n:011d}"
    return payload + luhn_check_digit(payload)


# One number in three of a narrow range is somebody's: most errors have several candidates.
MEMBERS = {("card", loyalty(n)): n for n in range(0, 600, 3)} | {
    ("partner", partner(n)): 10_000 + n for n in range(0, 90, 3)
}
CARDS = sorted(MEMBERS)
NUMBERS = [number for _, number in CARDS]


@cache
def lookup() -> MemberLookup:
    schemes = [Scheme("card", "number", "gs1", (13,)), Scheme("partner", "number", "luhn", (16,))]
    entries = [(domain, number, member) for (domain, number), member in MEMBERS.items()]
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "members"
        build(file, schemes, entries, key=KEY, generation=1)
        return MemberLookup(MemberIndex.open(file, key=KEY), lambda error: None)


def token(domain: str, number: str) -> bytes:
    return identifier_token(KEY, domain, number)


def shop() -> Known:
    return Known(
        token=token,
        verify=verify,
        products={MILK: Product(MILK, "Milk", 250)},
        find_member=lookup().find_member,
        near_members=lookup().near_members,
    )


@pytest.fixture
def lane() -> Lane:
    return Lane(RULES, set())


@pytest.fixture
def do(lane: Lane, at: Callable[[float], Now]) -> Callable[..., Answer]:
    """Scans a text or presses a key at a till that knows all members."""

    def step(what: str | LaneKey, known: Known | None = None) -> Answer:
        if isinstance(what, str):
            return lane.scanned(Scan(what, None, at(0).mono_s), known or shop(), at(0))
        return lane.keyed(what, known or shop(), at(0))

    return step


def codes(answer: Answer) -> list[str]:
    return [message.code for message in answer.messages]


def offers(lane: Lane) -> dict[str, int]:
    """The numbers on offer, and what each is accepted by."""
    return {} if lane.basket is None else {c.number: c.offer for c in lane.basket.candidates}


GOOD = loyalty(300)
DAMAGED = GOOD[:8] + "?" + GOOD[9:]
OTHER = loyalty(33)


def test_an_accepted_card_is_on_the_sale_as_corrected(do: Callable[..., Answer], lane: Lane):
    do(MILK)
    assert codes(do(DAMAGED)) == ["card_offered"]
    assert do(Accept(candidate=offers(lane)[GOOD])).messages == ()
    draft = do(Tender(kind="cash")).draft
    assert draft is not None
    assert draft.link is not None
    assert (draft.link.how, draft.link.member) == (LinkHow.CARD_CORRECTED, 300)
    assert draft.link.token == token("card", GOOD)
    assert draft.card_shown == GOOD[-4:]


def test_a_typed_number_that_was_corrected_says_so(do: Callable[..., Answer], lane: Lane):
    do(CardNumber(text=DAMAGED))
    do(Accept(candidate=offers(lane)[GOOD]))
    assert lane.basket is not None
    assert lane.basket.link is not None
    assert lane.basket.link.how == LinkHow.TYPED_CORRECTED


def test_a_sale_without_accepting_has_nobody(do: Callable[..., Answer], lane: Lane):
    do(DAMAGED)
    do(MILK)
    assert offers(lane)
    draft = do(Tender(kind="cash")).draft
    assert draft is not None
    assert draft.link is None


def test_candidates_survive_products_and_vanish_with_the_next_card(
    do: Callable[..., Answer], lane: Lane
):
    do(DAMAGED)
    do(MILK)
    do(Quantity(value=2))
    do(MILK)
    assert GOOD in offers(lane)
    do(OTHER)
    assert offers(lane) == {}


@pytest.mark.parametrize("ends", [Reject(), Cancel()])
def test_candidates_vanish_with_a_rejection_and_with_the_basket(
    do: Callable[..., Answer], lane: Lane, ends: LaneKey
):
    do(DAMAGED)
    offer = offers(lane)[GOOD]
    assert do(ends).messages == ()
    assert offers(lane) == {}
    assert codes(do(Accept(candidate=offer))) == ["card_not_offered"]
    assert codes(do(Reject())) == ["card_not_offered"]


def test_a_sale_takes_its_candidates_along(do: Callable[..., Answer], lane: Lane):
    do(DAMAGED)
    do(MILK)
    offer = offers(lane)[GOOD]
    draft = do(Tender(kind="cash")).draft
    assert draft is not None
    lane.committed(draft)
    assert codes(do(Accept(candidate=offer))) == ["card_not_offered"]
    assert lane.state is State.IDLE


def test_an_offer_that_was_replaced_is_not_taken_for_the_new_one(
    do: Callable[..., Answer], lane: Lane
):
    do(DAMAGED)
    stale = offers(lane)[GOOD]
    do(OTHER[:7] + "?" + OTHER[8:])
    assert OTHER in offers(lane)
    answer = do(Accept(candidate=stale))
    assert codes(answer) == ["card_not_offered"]
    assert answer.messages[0].fix
    assert lane.basket is not None
    assert lane.basket.link is None
    assert OTHER in offers(lane)


def test_a_member_who_is_gone_since_cannot_be_accepted(do: Callable[..., Answer], lane: Lane):
    do(DAMAGED)
    gone = replace(shop(), find_member=lambda domain, number: None)
    assert codes(do(Accept(candidate=offers(lane)[GOOD]), gone)) == ["card_not_offered"]
    assert lane.basket is not None
    assert lane.basket.link is None


def test_a_damaged_card_leaves_the_one_before_until_it_is_accepted(
    do: Callable[..., Answer], lane: Lane
):
    do(OTHER)
    do(DAMAGED)
    assert lane.basket is not None
    assert lane.basket.link is not None
    assert lane.basket.link.member == 33
    do(Accept(candidate=offers(lane)[GOOD]))
    assert lane.basket.link.member == 300


@st.composite
def misread(draw: st.DrawFn) -> str:
    """A member's number with one error or two."""
    number = draw(st.sampled_from(NUMBERS))
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(number) - 1))
        kind = draw(st.sampled_from(["other", "swap", "lost", "twice", "unread"]))
        if kind == "other":
            number = number[:at] + draw(st.sampled_from("0123456789")) + number[at + 1 :]
        elif kind == "swap":
            number = number[:at] + number[at : at + 2][::-1] + number[at + 2 :]
        elif kind == "lost":
            number = number[:at] + number[at + 1 :]
        elif kind == "twice":
            number = number[:at] + number[at] + number[at:]
        else:
            number = number[:at] + "?" + number[at + 1 :]
    return number


class LaneMachine(RuleBasedStateMachine):
    """A lane, and beside it who may be on the sale: read exactly, or accepted by the cashier."""

    def __init__(self) -> None:
        super().__init__()
        self.lane = Lane(RULES, set())
        self.entitled: tuple[LinkHow, str, str] | None = None
        self.gone: set[str] = set()
        self.rotten = False
        self.offered: dict[int, str] = {}
        self.seconds = 0.0

    def find(self, domain: str, number: str) -> int | None:
        if self.rotten:
            raise MembersUnusable
        return None if number in self.gone else lookup().find_member(domain, number)

    def do(self, what: str | LaneKey) -> Answer:
        known = replace(shop(), find_member=self.find)
        self.seconds += 1
        now = Now(1_494_763_200_000 + int(self.seconds * 1000), self.seconds)
        if isinstance(what, str):
            answer = self.lane.scanned(Scan(what, None, now.mono_s), known, now)
        else:
            answer = self.lane.keyed(what, known, now)
        assert all(message.message and message.fix for message in answer.messages)
        assert not any(number in str(answer.messages) for number in offers(self.lane))
        for number, offer in offers(self.lane).items():
            assert self.offered.setdefault(offer, number) == number
        if answer.draft is None:
            self.entitled = None if self.lane.basket is None else self.entitled
        return answer

    def read(self, what: str | LaneKey, how: LinkHow, number: str) -> None:
        exactly = [card for card in CARDS if card[1] == number and number not in self.gone]
        self.do(what)
        if exactly and not self.rotten:
            self.entitled = (how, *exactly[0])
            assert self.member() == MEMBERS[exactly[0]]

    def member(self) -> int | None:
        basket = self.lane.basket
        return None if basket is None or basket.link is None else basket.link.member

    @initialize(gone=st.sets(st.sampled_from(NUMBERS), max_size=20))
    def some_members_were_removed(self, gone: set[str]) -> None:
        self.gone = gone

    @rule(number=st.sampled_from(NUMBERS))
    def scan_a_card(self, number: str) -> None:
        self.read(number, LinkHow.CARD, number)

    @rule(number=misread())
    def scan_a_misread_card(self, number: str) -> None:
        assume(number not in NUMBERS)
        self.read(number, LinkHow.CARD, number)

    @rule(number=st.sampled_from(NUMBERS) | misread())
    def type_a_card(self, number: str) -> None:
        self.read(CardNumber(text=number), LinkHow.TYPED, number)

    @rule(number=misread())
    def type_a_number(self, number: str) -> None:
        assume(number not in NUMBERS)
        self.read(Number(text=number), LinkHow.TYPED, number)

    @precondition(lambda self: bool(offers(self.lane)))
    @rule(data=st.data())
    def accept(self, data: st.DataObject) -> None:
        assert self.lane.basket is not None
        candidate = data.draw(st.sampled_from(self.lane.basket.candidates))
        card = (candidate.domain, candidate.number)
        assert MEMBERS[card] == candidate.member
        answer = self.do(Accept(candidate=candidate.offer))
        if self.rotten or candidate.number in self.gone:
            assert answer.messages
        else:
            self.entitled = (candidate.how, *card)
            assert self.member() == candidate.member
        assert not offers(self.lane)

    @rule(data=st.data(), made_up=st.integers(1, 10_000))
    def accept_what_is_not_on_offer(self, data: st.DataObject, made_up: int) -> None:
        stale = data.draw(st.sampled_from([*self.offered, made_up]))
        assume(stale not in offers(self.lane).values())
        before = self.member()
        assert codes(self.do(Accept(candidate=stale))) == ["card_not_offered"]
        assert self.member() == before

    @rule()
    def reject(self) -> None:
        self.do(Reject())
        assert not offers(self.lane)

    @rule(what=st.sampled_from([MILK, "rubbish", "KV1.AAAA", "4012345678901"]))
    def scan_something_else(self, what: str) -> None:
        before = offers(self.lane)
        self.do(what)
        assert offers(self.lane) == before

    @rule(key=st.sampled_from([Quantity(value=2), Department(cents=100), Void(), Cancel()]))
    def key_something_else(self, key: LaneKey) -> None:
        self.do(key)

    @rule(cents=st.none() | st.integers(0, 400), durable=st.booleans())
    def tender(self, cents: int | None, durable: bool) -> None:
        answer = self.do(Tender(kind="cash", cents=cents))
        if answer.draft is None:
            return
        link = answer.draft.link
        if link is not None and link.member is not None:
            assert self.entitled is not None
            how, domain, number = self.entitled
            assert (link.how, link.token) == (how, token(domain, number))
            assert link.member == MEMBERS[domain, number]
        if durable:
            self.lane.committed(answer.draft)
            self.entitled = None
        else:
            self.lane.not_committed()

    @precondition(lambda self: bool(offers(self.lane)))
    @rule(data=st.data())
    def a_member_on_offer_is_removed(self, data: st.DataObject) -> None:
        self.gone.add(data.draw(st.sampled_from(sorted(offers(self.lane)))))

    @rule()
    def the_disk_rots_or_the_feed_mends_it(self) -> None:
        self.rotten = not self.rotten

    @invariant()
    def nobody_is_linked_who_was_not_read_or_accepted(self) -> None:
        basket = self.lane.basket
        if basket is None or basket.link is None or basket.link.member is None:
            return
        assert self.entitled is not None
        how, domain, number = self.entitled
        assert basket.link.how == how
        assert basket.link.token == token(domain, number)
        assert basket.link.member == MEMBERS[domain, number]

    @invariant()
    def what_is_on_offer_hides_its_number(self) -> None:
        for candidate in () if self.lane.basket is None else self.lane.basket.candidates:
            assert candidate.number not in repr(candidate)
            assert candidate.shown.count("·") >= 3
            assert len(candidate.shown) == len(candidate.number)


LaneMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


class TestNoSaleCarriesAStranger(LaneMachine.TestCase):
    """Runs the machine."""
