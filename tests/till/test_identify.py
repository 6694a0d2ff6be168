"""What a scan is."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from terminal_agent.identify import (
    REASONS,
    CardRule,
    CardScan,
    IdentifyRules,
    ProductScan,
    ReceiptScan,
    UnknownScan,
    VoucherScan,
    gtin13,
    identify,
    identify_card,
)
from wire.identifiers import gs1_check_digit, luhn_check_digit, receipt_code

LOYALTY = CardRule("loyalty", prefixes=("29",), lengths=(13,), check="gs1")
PARTNER = CardRule("partner", prefixes=("6035",), lengths=(16,), check="luhn", domain="partner")
SERVICE = CardRule("service relation", prefixes=("735",), lengths=(18,), check="gs1")
RULES = IdentifyRules(cards=(LOYALTY, PARTNER, SERVICE))

digits = st.text("0123456789", min_size=11, max_size=13)
AIMS = [None, "E0", "E3", "E4", "I1", "C0", "C1", "e0", "d2", "Q1", "Q3", "J1", "A0", "Zz"]


def with_check(payload: str) -> str:
    return payload + gs1_check_digit(payload)


def wrong_digit(number: str) -> str:
    return number[:-1] + str((int(number[-1]) + 1) % 10)


@given(text=st.text(max_size=80), aim=st.sampled_from(AIMS))
@example("]J1", "J1")
@example("\x1d", "C1")
@example("0" * 14, "C1")
@example("01" + "0" * 14, "C1")
@example("KV1." + "é", None)
@example("²" * 13, None)
@example("१२३४५६७८", None)
def test_no_text_makes_it_fail_and_every_unknown_says_what_to_do(
    text: str, aim: str | None
) -> None:
    found = identify(text, aim, RULES)
    if isinstance(found, UnknownScan):
        assert found.message
        assert found.fix
        assert found.shown.isprintable()


@given(text=st.text("0123456789\x1dAB", max_size=60), aim=st.sampled_from(AIMS))
def test_no_string_of_digits_and_separators_makes_it_fail(text: str, aim: str | None) -> None:
    assert identify(text, aim, RULES)


@given(text=st.text("0123456789/?&=.:htpsidgone", max_size=60))
def test_no_link_makes_it_fail(text: str) -> None:
    assert identify("https://" + text, "Q1", RULES)


@given(payload=st.text("0123456789", min_size=11, max_size=11))
def test_a_upc_a_and_its_ean_13_are_one_product(payload: str) -> None:
    upc = with_check(payload)
    assert gtin13(upc) == gtin13("0" + upc) == gtin13("00" + upc) == "0" + upc


@given(payload=st.text("0123456789", min_size=12, max_size=12))
def test_a_wrong_digit_is_no_product_of_any_length(payload: str) -> None:
    for number in (with_check(payload[:7]), with_check(payload[:11]), with_check(payload)):
        assert gtin13(wrong_digit(number)) is None


def test_a_price_list_finds_a_product_under_one_number_however_it_was_scanned() -> None:
    ways = [
        ("4006381333931", "E0"),
        ("4006381333931", None),
        ("04006381333931", "I1"),
        ("0104006381333931", "C1"),
        ("0104006381333931", "d2"),
        ("010400638133393110LOT\x1d21SER", "Q3"),
        ("\x1d0104006381333931", None),
        ("https://id.gs1.org/01/04006381333931", "Q1"),
        ("https://example.com/01/04006381333931/10/LOT", None),
    ]
    for text, aim in ways:
        assert identify(text, aim, RULES) == ProductScan("4006381333931", gtin=True), text


def test_a_case_keeps_its_fourteen_digits() -> None:
    case = with_check("1400638133393")
    assert identify(case, "I1", RULES) == ProductScan(case, gtin=True)
    assert identify("01" + case, "C1", RULES) == ProductScan(case, gtin=True)


def test_an_ean_8_is_a_product() -> None:
    assert identify("96385074", "E4", RULES) == ProductScan("0000096385074", gtin=True)
    assert identify("96385074", None, RULES) == ProductScan("0000096385074", gtin=True)


def test_a_upc_e_is_the_upc_a_it_stands_for() -> None:
    assert identify("04252614", "E0", RULES) == ProductScan("0042100005264", gtin=True)
    assert identify("04252614", None, RULES) == ProductScan("0042100005264", gtin=True)


def test_eight_digits_that_read_both_ways_go_by_the_deployment() -> None:
    both = "01000054"  # the check digit is right either way
    assert identify(both, None, IdentifyRules()) == ProductScan("00000" + both, gtin=True)
    assert identify(both, None, IdentifyRules(upc_e=True)) == ProductScan(
        "0010000000054", gtin=True
    )
    assert identify(both, "E4", IdentifyRules(upc_e=True)) == ProductScan("00000" + both, gtin=True)


def test_a_mistyped_ean_is_not_taken_for_an_application_identifier() -> None:
    # 4006381333932 would read as AI (400), customer's purchase order number.
    found = identify("4006381333932", None, RULES)
    assert found == UnknownScan("check_digit", "4006381333932", "4006381333932")


def test_a_wrong_check_digit_inside_a_gs1_code_is_noticed() -> None:
    found = identify("0104006381333932", "C1", RULES)
    assert isinstance(found, UnknownScan)
    assert found.reason == "check_digit"


def test_thirteen_digits_in_code_128_need_no_check_digit() -> None:
    assert identify("4006381333932", "C0", RULES) == ProductScan("4006381333932", gtin=False)


@pytest.mark.parametrize("code", ["94011", "SHIRT-M-BLUE", "00123", "a b"])
def test_a_code_that_is_no_gtin_can_still_be_of_the_price_list(code: str) -> None:
    assert identify(code, None, RULES) == ProductScan(code, gtin=False)


@pytest.mark.parametrize("extra", ["05", "51299"])
def test_a_magazines_issue_is_left_off(extra: str) -> None:
    magazine = with_check("977147396801")
    assert identify(magazine + extra, None, RULES) == ProductScan(magazine, gtin=True)
    assert identify(magazine + extra, "E3", RULES) == ProductScan(magazine, gtin=True)


def test_a_book_is_a_product() -> None:
    assert identify("9780306406157", "E0", RULES) == ProductScan("9780306406157", gtin=True)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [("980123456789", "refund_receipt"), ("981123456789", "coupon"), ("991234567890", "coupon")],
)
def test_coupons_and_refund_slips_are_no_products(payload: str, reason: str) -> None:
    found = identify(with_check(payload), "E0", RULES)
    assert isinstance(found, UnknownScan)
    assert found.reason == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("00" + with_check("00614141123456789")[:18], "logistic_unit"),
        ("414" + with_check("400638133393"), "location"),
        ("2554006381333931", "coupon"),
        ("10LOT", "not_a_code"),
        ("99999", "not_a_code"),
        ("AB", "gs1_unreadable"),
    ],
)
def test_a_gs1_code_that_is_no_product_says_what_it_is(text: str, reason: str) -> None:
    found = identify(text, "C1", RULES)
    assert isinstance(found, UnknownScan)
    assert found.reason == reason


def test_a_card_among_the_in_store_numbers_is_a_card_and_no_product() -> None:
    number = with_check("290000001228")
    assert identify(number, "E0", RULES) == CardScan("card", number, damaged=False)
    assert identify(number, None, IdentifyRules()) == ProductScan(number, gtin=True)


@given(payload=st.text("0123456789", min_size=10, max_size=10))
def test_a_card_with_a_wrong_digit_is_a_damaged_card(payload: str) -> None:
    number = wrong_digit(with_check("29" + payload))
    assert identify(number, "E0", RULES) == CardScan("card", number, damaged=True)


@given(payload=st.text("0123456789", min_size=10, max_size=10), place=st.integers(2, 12))
def test_a_card_with_a_digit_too_few_or_too_many_is_damaged_unless_it_is_a_product(
    payload: str, place: int
) -> None:
    number = with_check("29" + payload)
    for mangled in (
        number[:place] + number[place + 1 :],
        number[:place] + number[place:][0:1] + number[place:],
    ):
        found = identify(mangled, None, RULES)
        if gtin13(mangled):
            assert isinstance(found, ProductScan | UnknownScan)
        else:
            assert found == CardScan("card", mangled, damaged=True)


def test_up_to_three_digits_that_nobody_can_read_leave_a_card() -> None:
    assert identify("29000?0012?88", None, RULES) == CardScan("card", "29000?0012?88", damaged=True)
    assert identify("?900000012288", None, RULES) == CardScan("card", "?900000012288", damaged=True)
    assert identify("29000???12288", None, RULES) == CardScan("card", "29000???12288", damaged=True)
    assert identify("29000????2288", None, RULES) == ProductScan("29000????2288", gtin=False)


def test_a_luhn_card_of_a_partner_keeps_its_domain() -> None:
    payload = "603512345678901"
    number = payload + luhn_check_digit(payload)
    assert identify(number, None, RULES) == CardScan("partner", number, damaged=False)
    assert identify(wrong_digit(number), None, RULES) == CardScan(
        "partner", wrong_digit(number), damaged=True
    )


def test_the_first_rule_that_claims_a_number_wins() -> None:
    any_check = CardRule("old", prefixes=("29",), lengths=(13,), check="none", domain="old")
    number = with_check("290000001228")
    assert identify(number, None, IdentifyRules((any_check, LOYALTY))) == CardScan(
        "old", number, damaged=False
    )


def test_the_check_digit_of_a_service_relation_number_is_verified() -> None:
    number = with_check("73500000000000001")
    assert identify("8018" + number, "C1", RULES) == CardScan("card", number, damaged=False)
    wrong = wrong_digit(number)
    assert identify("8018" + wrong, "C1", RULES) == CardScan("card", wrong, damaged=True)


def test_a_service_relation_number_of_nobodys_card_is_told() -> None:
    number = with_check("99900000000000001")
    found = identify("8018" + number, "C1", RULES)
    assert isinstance(found, UnknownScan)
    assert found.reason == "unknown_card"
    assert number not in found.message


@given(text=st.text("0123456789? -", max_size=24))
def test_a_number_typed_as_a_cards_is_a_card_or_too_unlike_any(text: str) -> None:
    found = identify_card(text, RULES)
    if found is not None:
        assert found.number == text
        assert found.damaged or identify(text, None, RULES) == found


def test_a_number_typed_as_a_cards_may_begin_wrong() -> None:
    assert identify_card("1900000012288", RULES) == CardScan("card", "1900000012288", damaged=True)
    assert identify_card("9200000012288", RULES) == CardScan("card", "9200000012288", damaged=True)
    assert identify_card("900000012288", RULES) == CardScan("card", "900000012288", damaged=True)


@pytest.mark.parametrize("text", ["", "4711", "KR.", "2900000012288x", "29????0012288", "1" * 40])
def test_what_is_unlike_any_card_is_no_card_however_it_was_typed(text: str) -> None:
    assert identify_card(text, RULES) is None


@pytest.mark.parametrize("text", ["KV1." + "A" * 180, "kv1." + "a" * 180])
def test_a_vouchers_token_is_a_voucher(text: str) -> None:
    assert identify(text, "Q1", RULES) == VoucherScan("KV1." + "A" * 180)


def test_a_voucher_that_is_too_long_is_refused() -> None:
    found = identify("KV1." + "A" * 600, "Q1", RULES)
    assert isinstance(found, UnknownScan)
    assert found.reason == "voucher_unreadable"
    assert len(found.text) <= 64


def test_a_receipts_code_is_a_receipt() -> None:
    code = receipt_code("demo-01", 3, 4711)
    assert identify(code, "C0", RULES) == ReceiptScan(code)
    assert identify(code.lower(), None, RULES) == ReceiptScan(code)


@pytest.mark.parametrize("text", ["KR.", "KR.DEMO-01.3", "KR.DEMO-01.3.X", "KR.DEMO 01.3.4"])
def test_half_a_receipts_code_is_told(text: str) -> None:
    found = identify(text, None, RULES)
    assert isinstance(found, UnknownScan)
    assert found.reason == "receipt_unreadable"


def test_a_link_without_a_product_is_told() -> None:
    found = identify("https://example.com/menu", "Q1", RULES)
    assert isinstance(found, UnknownScan)
    assert found.reason == "link"


def test_every_reason_has_a_sentence_and_a_fix() -> None:
    for reason in REASONS:
        unknown = UnknownScan(reason, "123")
        assert unknown.message.endswith("(123).")
        assert unknown.fix.endswith(".")
