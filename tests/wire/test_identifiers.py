"""Check digits, tokens, the chain, signed requests and vouchers."""

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from wire.chain import genesis, next_hash
from wire.identifiers import (
    gs1_check_digit,
    has_gs1_check_digit,
    identifier_token,
    luhn_check_digit,
    receipt_code,
)
from wire.requests import SignedBy, read_header, signing_text, write_header
from wire.vouchers import Voucher, VoucherRefusal, decode_voucher, encode_voucher

KEY = bytes(range(32))
PRIVATE = Ed25519PrivateKey.from_private_bytes(KEY)
PUBLIC = PRIVATE.public_key().public_bytes_raw()
VOUCHER = Voucher("till-1", "1-22", "next-visit", 100, 1_700_000_000_000, 5)


def verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize(
    ("digits", "check"),
    [("400638133393", "1"), ("629104150021", "3"), ("37610425002123456", "9"), ("9638507", "4")],
)
def test_the_gs1_check_digit_is_the_one_of_the_specification(digits: str, check: str):
    assert gs1_check_digit(digits) == check
    assert has_gs1_check_digit(digits + check)


def test_the_luhn_check_digit_is_the_one_of_the_standard():
    assert luhn_check_digit("7992739871") == "3"


@given(st.text("0123456789", min_size=7, max_size=17), st.data())
def test_one_wrong_digit_never_passes_the_gs1_check(digits: str, data: st.DataObject):
    number = digits + gs1_check_digit(digits)
    at = data.draw(st.integers(0, len(number) - 1))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != number[at]]))
    assert not has_gs1_check_digit(number[:at] + other + number[at + 1 :])


def test_digits_of_other_scripts_are_no_number():
    assert not has_gs1_check_digit("٤٠٠٦٣٨١٣٣٣٩٣١")


def test_a_token_says_nothing_without_its_key_and_nothing_across_domains():
    token = identifier_token(KEY, "card", "2900000012288")
    assert len(token) == 16
    assert token != identifier_token(bytes(32), "card", "2900000012288")
    assert token != identifier_token(KEY, "phone", "2900000012288")
    assert token == bytes.fromhex("1381c4ee9fddbaa1ffaab5356ef5171e")


def test_a_short_key_makes_no_token():
    with pytest.raises(ValueError, match="32 bytes"):
        identifier_token(b"short", "card", "1")


def test_a_receipt_code_fits_a_code_128_in_upper_case():
    assert receipt_code("shop-1", 2, 31) == "KR.SHOP-1.2.31"


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=6), st.data())
def test_the_chain_notices_any_changed_event(events: list[bytes], data: st.DataObject):
    at = data.draw(st.integers(0, len(events) - 1))
    changed = [*events]
    changed[at] = changed[at] + b"!"

    def head(chain: list[bytes]) -> bytes:
        now = genesis("till-1", 1)
        for event in chain:
            now = next_hash(now, event)
        return now

    assert head(events) != head(changed)


@given(
    st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True),
    st.integers(0, 10**15 - 1),
    st.binary(min_size=64, max_size=64),
)
def test_a_signed_header_is_read_back_as_it_was_written(till: str, at_ms: int, signature: bytes):
    signed = SignedBy(till, at_ms, signature)
    assert read_header(write_header(signed)) == signed


@given(st.text(max_size=200))
def test_a_header_of_another_scheme_is_none(value: str):
    assert read_header(value) is None


def test_every_part_of_a_request_is_signed():
    texts = {
        signing_text("till-1", 1000, "POST", "/v1/events?x=1", b"body"),
        signing_text("till-2", 1000, "POST", "/v1/events?x=1", b"body"),
        signing_text("till-1", 1001, "POST", "/v1/events?x=1", b"body"),
        signing_text("till-1", 1000, "GET", "/v1/events?x=1", b"body"),
        signing_text("till-1", 1000, "POST", "/v1/events?x=2", b"body"),
        signing_text("till-1", 1000, "POST", "/v1/events?x=1", b"bodY"),
    }
    assert len(texts) == 6


def test_a_voucher_of_a_known_issuer_is_read():
    token = encode_voucher(VOUCHER, PRIVATE.sign)
    assert decode_voucher(token, {"till-1": (PUBLIC,)}, verify) == VOUCHER


def test_a_voucher_fits_the_alphanumeric_set_of_a_qr_code():
    token = encode_voucher(VOUCHER, PRIVATE.sign)
    assert set(token) <= set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")
    assert len(token) < 200


def test_a_voucher_of_an_unknown_issuer_is_refused():
    token = encode_voucher(VOUCHER, PRIVATE.sign)
    assert decode_voucher(token, {}, verify) is VoucherRefusal.UNKNOWN_ISSUER


def test_a_voucher_another_till_signed_in_this_ones_name_is_refused():
    thief = Ed25519PrivateKey.from_private_bytes(bytes(32))
    token = encode_voucher(VOUCHER, thief.sign)
    assert decode_voucher(token, {"till-1": (PUBLIC,)}, verify) is VoucherRefusal.FORGED


def test_the_signature_of_a_request_makes_no_voucher():
    message = encode_voucher(VOUCHER, PRIVATE.sign)

    def sign_bare(data: bytes) -> bytes:
        return PRIVATE.sign(data.removeprefix(b"klantreis-voucher-1\n"))

    assert encode_voucher(VOUCHER, sign_bare) != message
    forged = encode_voucher(VOUCHER, sign_bare)
    assert decode_voucher(forged, {"till-1": (PUBLIC,)}, verify) is VoucherRefusal.FORGED


@given(st.data())
def test_a_voucher_with_one_character_changed_is_never_accepted(data: st.DataObject):
    token = encode_voucher(VOUCHER, PRIVATE.sign)
    at = data.draw(st.integers(4, len(token) - 2))
    other = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
    changed = token[:at] + other + token[at + 1 :]
    if changed != token:
        answer = decode_voucher(changed, {"till-1": (PUBLIC,)}, verify)
        assert isinstance(answer, VoucherRefusal)


@given(st.text(max_size=600))
def test_text_that_is_no_voucher_is_refused(text: str):
    assert decode_voucher(text, {"till-1": (PUBLIC,)}, verify) is VoucherRefusal.UNREADABLE
    answer = decode_voucher("KV1." + text, {"till-1": (PUBLIC,)}, verify)
    assert isinstance(answer, VoucherRefusal)
