"""Candidates: whose card a misread number may be. With real indexes of the compiled matcher."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from native.matcher import MemberIndex, Scheme, build
from terminal_agent.candidates import CANDIDATES_MAX, MASK, PLACES_MAX, WHAT, Candidate, places
from terminal_agent.devices.scanner import Scan
from terminal_agent.identify import CardRule, IdentifyRules
from terminal_agent.keys import CardNumber, Number
from terminal_agent.known import Known, MembersUnusable, NearMember
from terminal_agent.lane import Answer, Lane
from terminal_agent.members import MemberLookup
from terminal_agent.now import Now
from wire.events import LinkHow
from wire.identifiers import gs1_check_digit, luhn_check_digit

KEY = bytes(range(32))
NOW = Now(1_494_763_200_000, 1_000.0)
SCHEMES = [
    Scheme("card", "number", "gs1", (13,)),
    Scheme("partner", "number", "luhn", (16,)),
    Scheme("plain", "number", "none", (9,)),
]
RULES = IdentifyRules(
    (
        CardRule("loyalty", ("29",), (13,), "gs1"),
        CardRule("partner", ("6035",), (16,), "luhn", "partner"),
        CardRule("plain", ("77",), (9,), "none", "plain"),
    )
)

loyalty = st.integers(0, 2_000).map(lambda n: f"29{n:010d}").map(lambda p: p + gs1_check_digit(p))
partner = st.integers(0, 10**11 - 1).map(lambda n: f"6035{n:011d}")
cards = (
    loyalty.map(lambda number: ("card", number))
    | partner.map(lambda p: ("partner", p + luhn_check_digit(p)))
    | st.integers(0, 10**7 - 1).map(lambda n: ("plain", f"77{n:07d}"))
)
DIGITS = st.sampled_from("0123456789")


@st.composite
def misread(draw: st.DrawFn, number: str) -> str:
    """`number` with one error, or with up to three digits that cannot be read."""
    at = draw(st.integers(0, len(number) - 1))
    match draw(st.sampled_from(list(WHAT))):
        case "substituted" | "two":
            return number[:at] + draw(DIGITS) + number[at + 1 :]
        case "swapped":
            return number[:at] + number[at : at + 2][::-1] + number[at + 2 :]
        case "missing":
            return number[:at] + number[at + 1 :]
        case "double":
            return number[:at] + number[at] + number[at:]
        case "extra":
            return number[:at] + draw(DIGITS) + number[at:]
        case _:
            unread = draw(st.sets(st.integers(0, len(number) - 1), min_size=1, max_size=3))
            return "".join("?" if i in unread else digit for i, digit in enumerate(number))


def knowing(known: Known, members: list[tuple[str, str]]) -> Known:
    """`known` with an index of `members`, who have the numbers 0, 1, …"""
    entries = [(domain, number, n) for n, (domain, number) in enumerate(members)]
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "members"
        build(file, SCHEMES, entries, key=KEY, generation=1)
        lookup = MemberLookup(MemberIndex.open(file, key=KEY), lambda error: None)
    return replace(known, find_member=lookup.find_member, near_members=lookup.near_members)


def codes(answer: Answer) -> list[str]:
    return [message.code for message in answer.messages]


def offered(lane: Lane) -> tuple[Candidate, ...]:
    return () if lane.basket is None else lane.basket.candidates


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), members=st.lists(cards, min_size=1, max_size=40, unique=True))
def test_a_number_typed_with_one_error_offers_its_member_and_links_nobody(
    known: Known, data: st.DataObject, members: list[tuple[str, str]]
):
    domain, number = data.draw(st.sampled_from(members))
    read = data.draw(misread(number))
    lane = Lane(RULES, set())
    answer = lane.keyed(CardNumber(text=read), knowing(known, members), NOW)
    if any(read == number for _, number in members):
        return
    shown = [(c.domain, c.number) for c in offered(lane)]
    more_fit = len(shown) == CANDIDATES_MAX and "more cards" in answer.messages[-1].message
    assert (domain, number) in shown or more_fit
    assert set(shown) <= set(members)
    assert len(shown) <= CANDIDATES_MAX
    assert lane.basket is not None
    assert lane.basket.link is None or lane.basket.link.member is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), members=st.lists(cards, min_size=1, max_size=5, unique=True))
def test_a_scan_that_is_damaged_offers_its_member_and_links_nobody(
    known: Known, data: st.DataObject, members: list[tuple[str, str]]
):
    domain, number = data.draw(st.sampled_from(members))
    read = data.draw(misread(number))
    rule = next(rule for rule in RULES.cards if rule.domain == domain)
    if not read.startswith(rule.prefixes) or not rule.claims(read) or rule.is_intact(read):
        return
    lane = Lane(RULES, set())
    answer = lane.scanned(Scan(read, None, 0.0), knowing(known, members), NOW)
    assert codes(answer) == ["card_offered"]
    assert (domain, number) in [(c.domain, c.number) for c in offered(lane)]
    assert lane.basket is not None
    assert lane.basket.link is None
    assert lane.basket.failed_scans == 1


@pytest.fixture
def typed(known: Known) -> Callable[..., tuple[Lane, Answer]]:
    """Types a card's number at a lane whose till knows these members."""

    def do(read: str, *members: str) -> tuple[Lane, Answer]:
        lane = Lane(RULES, set())
        knows = knowing(known, [("card", number) for number in members])
        return lane, lane.keyed(CardNumber(text=read), knows, NOW)

    return do


def loyalty_card(digits: str) -> str:
    payload = f"29{digits}"
    return payload + gs1_check_digit(payload)


A = loyalty_card("4071352896")


@pytest.mark.parametrize(
    ("read", "change", "shown"),
    [
        (A[:5] + "9" + A[6:], "substituted", "·····1···8966"),
        (A[:5] + A[6] + A[5] + A[7:], "swapped", "·····13··8966"),
        (A[:5] + A[6:], "missing", "·····1···8966"),
        (A[:6] + A[5:], "double", "·····13··8966"),
        (A[:6] + "8" + A[6:], "extra", "·····13··8966"),
        (A[:3] + "??" + A[5:], "unreadable", "···07····8966"),
        (A[:3] + "9" + A[4] + "9" + A[6:], "two", "···0·1···8966"),
        ("1" + A[1:], "substituted", "2········8966"),
    ],
)
def test_a_candidate_shows_the_last_digits_and_those_to_compare(
    typed: Callable[..., tuple[Lane, Answer]], read: str, change: str, shown: str
):
    lane, answer = typed(read, A)
    assert codes(answer) == ["card_offered"]
    (candidate,) = offered(lane)
    assert (candidate.change, candidate.shown) == (change, shown)
    assert candidate.what == WHAT[change]
    assert A not in repr(candidate)


def test_several_candidates_come_likeliest_first(typed: Callable[..., tuple[Lane, Answer]]):
    read = A[:5] + A[6] + A[5] + A[7:]
    corrected = [read[:8] + digit + read[9:] for digit in "0123456789"]
    substituted = next(n for n in corrected if gs1_check_digit(n[:-1]) == n[-1])
    lane, answer = typed(read, substituted, A)
    assert [(c.number, c.change) for c in offered(lane)] == [
        (A, "swapped"),
        (substituted, "substituted"),
    ]
    assert "2 cards" in answer.messages[0].message
    assert [c.offer for c in offered(lane)] == [1, 2]


def test_no_more_are_offered_than_a_screen_shows_and_that_is_said(
    typed: Callable[..., tuple[Lane, Answer]],
):
    lane, answer = typed("2940713528???", *(loyalty_card(f"40713528{n:02d}") for n in range(20)))
    assert len(offered(lane)) == CANDIDATES_MAX
    assert "more cards than can be shown" in answer.messages[0].message


def test_two_errors_that_many_cards_explain_offer_none(
    typed: Callable[..., tuple[Lane, Answer]],
):
    members = [loyalty_card(f"40713528{n:02d}") for n in range(100)]
    lane, answer = typed("2940713999996", *members)
    assert offered(lane) == ()
    assert codes(answer) == ["no_card_number"]


def test_a_number_that_comes_near_nobody_says_what_to_do(
    typed: Callable[..., tuple[Lane, Answer]],
):
    lane, answer = typed("2999999999999", A)
    assert codes(answer) == ["no_card_number"]
    assert "? for one nobody can read" in answer.messages[0].fix
    assert lane.basket is None


def test_a_swap_that_the_check_digit_does_not_see_is_offered_when_it_was_typed_not_when_scanned(
    known: Known,
):
    # Digits that differ by five: GS1's check digit is the same (3·5 − 5 = 10).
    number = loyalty_card("4072735000")
    swapped = number[:4] + number[5] + number[4] + number[6:]
    assert gs1_check_digit(swapped[:-1]) == swapped[-1]
    assert swapped != number
    knows = knowing(known, [("card", number)])
    lane = Lane(RULES, set())
    assert codes(lane.scanned(Scan(swapped, None, 0.0), knows, NOW)) == ["card_unknown"]
    assert offered(lane) == ()
    assert codes(lane.keyed(Number(text=swapped), knows, NOW)) == ["card_offered"]
    assert [c.number for c in offered(lane)] == [number]
    assert lane.basket is not None
    assert lane.basket.link is not None
    assert (lane.basket.link.how, lane.basket.link.member) == (LinkHow.TYPED, None)


def test_a_damaged_index_is_said_and_the_sale_keeps_an_undamaged_card(known: Known):
    def rotten(*_: object) -> int:
        raise MembersUnusable

    def rotten_near(*_: object) -> tuple[NearMember, ...]:
        raise MembersUnusable

    lane = Lane(RULES, set())
    broken = replace(known, find_member=rotten, near_members=rotten_near)
    assert codes(lane.keyed(CardNumber(text=A), broken, NOW)) == ["members_damaged"]
    assert lane.basket is not None
    assert lane.basket.link is not None
    assert lane.basket.link.token == known.token("card", A)
    half = replace(known, near_members=rotten_near)
    assert codes(lane.keyed(CardNumber(text=A[:-1] + "?"), half, NOW)) == ["members_damaged"]
    assert lane.basket.failed_scans == 1


@given(number=st.text(DIGITS, min_size=9, max_size=19), data=st.data())
def test_the_places_to_compare_are_few_and_in_the_number(number: str, data: st.DataObject):
    read = data.draw(misread(data.draw(misread(number))))
    found = places(read, number)
    assert len(found) <= PLACES_MAX
    assert all(1 <= at <= len(number) for at in found)
    assert list(found) == sorted(set(found))


def test_a_candidate_hides_what_need_not_be_compared():
    candidate = Candidate(1, LinkHow.CARD_CORRECTED, "card", A, 5, "substituted", (7,))
    assert candidate.shown.count(MASK) == 8
