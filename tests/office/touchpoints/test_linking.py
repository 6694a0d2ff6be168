"""Whose a touchpoint is: by what it carries, by what others carried, whatever came first."""

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sync_server.projector import start_over
from sync_server.registry.members import remove_identifiers
from sync_server.tables import Person, SentIdentifier, SentTouchpoint, Thread
from sync_server.touchpoints.projection import project_all as project_touchpoints
from sync_server.touchpoints.shared import set_shared
from wire.events import Link, LinkHow
from wire.identifiers import identifier_token, receipt_code

if TYPE_CHECKING:
    from tests.office.conftest import MakeSale, SimTill
    from tests.office.touchpoints.conftest import Web

CARD = "2000000000015"
ANNA = "anna@example.nl"
FIRST_THREAD = 2**32


def test_a_member_number_and_a_card_tell_the_member(web: "Web") -> None:
    web.member(7, card=CARD)
    web.send(web.item(id="a", member=7), web.item(id="b", card=CARD))
    assert web.persons() == {"a": 7, "b": 7}


def test_an_address_is_found_however_it_is_written(web: "Web") -> None:
    web.member(7, email="Anna@Example.NL")
    digest = sha256(ANNA.encode()).hexdigest()
    web.send(
        web.item(id="a", email=ANNA),
        web.item(id="b", email=" ANNA@example.nl "),
        web.item(id="c", email_sha256=digest.upper()),
    )
    assert web.persons() == {"a": 7, "b": 7, "c": 7}


def test_a_number_is_found_however_it_is_written(web: "Web") -> None:
    data_dir = web.desk.office.settings.data_dir
    (data_dir / "touchpoints.toml").write_text('calling_code = "31"\n')
    web.member(7, phone="06 1234 5678")
    digest = sha256(b"+31612345678").hexdigest()
    web.send(
        web.item(id="a", phone="+31 6 12345678"),
        web.item(id="b", phone="0031612345678"),
        web.item(id="c", phone="0612345678"),
        web.item(id="d", phone_sha256=digest),
    )
    assert set(web.persons().values()) == {7}


def test_a_receipt_tells_whose_the_sale_was(web: "Web", till: "SimTill", sale: "MakeSale") -> None:
    web.member(7, card=CARD)
    token = identifier_token(web.desk.office.keys.identifier_key, "card", CARD)
    seq = till.add(sale(link=Link(LinkHow.CARD, token, 7)))
    till.send()
    code = receipt_code(till.till_id, till.epoch, seq)
    web.send(web.item("rating", id="a", value=5, reference=code.lower()))
    assert web.persons() == {"a": 7}
    assert web.kept()["a"]["reference"] == code


def test_a_receipt_that_comes_after_its_rating_tells_it_too(
    web: "Web", till: "SimTill", sale: "MakeSale"
) -> None:
    web.member(7, card=CARD)
    code = receipt_code(till.till_id, till.epoch, 1)
    web.send(web.item("rating", id="a", value=5, reference=code))
    assert web.persons() == {"a": None}
    token = identifier_token(web.desk.office.keys.identifier_key, "card", CARD)
    till.add(sale(link=Link(LinkHow.CARD, token, 7)))
    till.send()
    web.project()
    assert web.persons() == {"a": 7}


def test_a_card_that_is_registered_later_tells_all_that_hangs_on_it(
    web: "Web", till: "SimTill", sale: "MakeSale"
) -> None:
    token = identifier_token(web.desk.office.keys.identifier_key, "card", CARD)
    till.add(sale(link=Link(LinkHow.CARD, token, None)))
    till.send()
    code = receipt_code(till.till_id, till.epoch, 1)
    web.send(
        web.item(id="visit", web_id="browser"),
        web.item("identified", id="login", card=CARD, web_id="browser"),
        web.item("rating", id="rating", value=5, reference=code),
    )
    thread = web.persons()["visit"]
    assert thread is not None
    assert thread > FIRST_THREAD
    web.member(7, card=CARD)
    assert web.persons() == {"visit": 7, "rating": 7}


def test_a_browser_is_somebody_without_a_name(web: "Web") -> None:
    web.send(web.item(id="a", web_id="x"), web.item(id="b", web_id="x"), web.item(id="c"))
    persons = web.persons()
    assert persons["a"] == persons["b"] == FIRST_THREAD + 1
    assert persons["c"] is None
    assert [row["person"] for row in web.desk.rows(Person)] == [FIRST_THREAD + 1]


def test_who_signs_in_was_there_before(web: "Web") -> None:
    web.member(7, email=ANNA)
    web.send(web.item(id="a", web_id="x"))
    assert web.persons()["a"] == FIRST_THREAD + 1
    web.send(web.item("newsletter_signup", id="b", day=3, web_id="x", email=ANNA))
    assert web.persons() == {"a": 7, "b": 7}
    assert [row["person"] for row in web.desk.rows(Person)] == [7]
    assert web.kept()["a"]["linked_by"] == "web"


def test_a_browser_becomes_anothers_when_another_signs_in(web: "Web") -> None:
    web.member(7, email=ANNA)
    web.member(8, email="ben@example.nl")
    web.send(
        web.item(id="before", day=0, web_id="x"),
        web.item("identified", day=1, web_id="x", email=ANNA),
        web.item(id="between", day=2, web_id="x"),
        web.item("identified", day=3, web_id="x", email="ben@example.nl"),
        web.item(id="after", day=4, web_id="x"),
    )
    assert web.persons() == {"before": 7, "between": 7, "after": 8}


def test_an_order_ties_the_delivery_to_who_ordered(web: "Web") -> None:
    web.member(7, email=ANNA)
    web.send(
        web.item("delivery", id="d", day=2, source="carrier", channel="post", reference="ORD-1"),
        web.item("purchase", id="p", amount_cents=2500, reference="ORD-1", email=ANNA),
    )
    assert web.persons() == {"d": 7, "p": 7}


def test_a_browser_that_is_known_goes_before_an_order_that_is_not(web: "Web") -> None:
    web.member(7, email=ANNA)
    web.send(
        web.item("identified", day=-1, email=ANNA, web_id="x"),
        web.item("purchase", id="p", reference="ORD-9", web_id="x"),
    )
    assert web.persons() == {"p": 7}


def test_a_guests_visits_order_and_delivery_are_one_person(web: "Web") -> None:
    web.send(
        web.item(id="v", web_id="x"),
        web.item("purchase", id="p", day=1, reference="ORD-9", web_id="x"),
        web.item("delivery", id="d", day=2, reference="ORD-9"),
    )
    assert len(set(web.persons().values()) - {None}) == 1


def test_a_payment_ties_purchases_of_nobody_known_together(web: "Web") -> None:
    web.send(
        web.item("purchase", id="p", payment="tok_1", reference="A"),
        web.item("purchase", id="q", day=1, payment="tok_1", reference="B"),
        web.item("delivery", id="d", day=2, reference="B"),
    )
    assert set(web.persons().values()) == {FIRST_THREAD + 1}


def test_a_referral_belongs_to_who_follows_it_and_names_who_gave_it(web: "Web") -> None:
    web.member(7, email=ANNA)
    web.member(8, email="ben@example.nl")
    web.send(web.item("referral_used", id="used", referral="ANNA10", email="ben@example.nl"))
    assert web.kept()["used"]["referrer"] is None
    web.send(web.item("referral_given", id="given", day=-1, referral="ANNA10", email=ANNA))
    assert web.persons() == {"used": 8, "given": 7}
    assert web.kept()["used"]["referrer"] == 7


def test_identifiers_of_two_members_are_told_as_a_conflict(web: "Web") -> None:
    web.member(7, card=CARD)
    web.member(8, email=ANNA)
    web.send(web.item(id="a", card=CARD, email=ANNA))
    assert web.persons() == {"a": 7}
    assert web.kept()["a"]["is_conflicting"] is True


def test_an_address_taken_from_a_member_splits_off_what_it_linked(web: "Web") -> None:
    web.member(7, email="Anna@example.nl", card=CARD)
    web.send(
        web.item(id="a", email=ANNA),
        web.item(id="b", card=CARD),
        web.item(id="c", day=1, web_id="x"),
        web.item("identified", day=2, web_id="x", email=ANNA),
    )
    assert web.persons() == {"a": 7, "b": 7, "c": 7}
    key = web.desk.office.keys.identifier_key
    token = identifier_token(key, "email", "Anna@example.nl")
    with web.desk.office.database.write() as connection:
        remove_identifiers(connection, 7, 2, [token])
    web.project()
    thread = FIRST_THREAD + 1
    assert web.persons() == {"a": thread, "b": 7, "c": thread}
    web.member(7, email="Anna@example.nl")
    assert web.persons() == {"a": 7, "b": 7, "c": 7}


def test_a_shared_browser_links_nobody_until_it_is_one_persons_again(web: "Web") -> None:
    web.member(7, email=ANNA)
    web.send(
        web.item(id="a", web_id="kiosk"),
        web.item(id="b", day=1, web_id="kiosk", email=ANNA),
    )
    assert web.persons() == {"a": 7, "b": 7}
    set_shared(web.desk.office, "web", "kiosk")
    assert web.persons() == {"a": None, "b": 7}
    set_shared(web.desk.office, "web", "kiosk", undo=True)
    assert web.persons() == {"a": 7, "b": 7}


def test_exactly_the_persons_that_changed_are_marked(web: "Web") -> None:
    web.member(7, email=ANNA)
    web.member(8, card=CARD)
    web.send(web.item(id="a", web_id="x"), web.item(id="b", card=CARD))
    web.post([web.item(id="late", day=-50, web_id="x", email=ANNA)])
    marked: set[int] = set()
    project_touchpoints(web.desk.office, lambda _, persons: marked.update(persons))
    assert marked == {7, FIRST_THREAD + 1}


def test_one_address_of_two_enrolments_is_the_lower_numbers(web: "Web") -> None:
    web.member(8, email=ANNA)
    web.member(7, email="Anna@example.nl")
    web.send(web.item(id="a", email=ANNA))
    assert web.persons() == {"a": 7}


def test_no_identifier_is_kept_in_the_clear(web: "Web") -> None:
    secrets: dict[str, Any] = {"email": ANNA, "phone": "+31612345678", "card": CARD}
    more: dict[str, Any] = {
        "payment": "tok_secret",
        "web_id": "browser-secret",
        "referral": "code-secret",
    }
    web.send(web.item(id="a", **secrets, **more))
    tables: list[type[Any]] = [SentTouchpoint, SentIdentifier, Thread]
    text = repr([web.desk.rows(table) for table in tables])
    assert not [secret for secret in {**secrets, **more}.values() if secret in text]


def test_a_projection_from_zero_comes_out_the_same(
    web: "Web", till: "SimTill", sale: "MakeSale"
) -> None:
    web.member(7, card=CARD, email=ANNA)
    till.add(sale())
    till.send()
    web.send(
        web.item(id="a", web_id="x"),
        web.item(id="b", web_id="y"),
        web.item("identified", day=1, web_id="x", email=ANNA),
        web.item("teleport", id="c", card=CARD, amount_cents=5),
        web.item(id="d", web_id="y", email="nobody@example.nl"),
    )
    before, kept = web.desk.projection(), web.kept()
    start_over(web.desk.office)
    assert web.persons() == {}
    web.project()
    assert web.desk.projection() == before
    assert web.kept() == kept
