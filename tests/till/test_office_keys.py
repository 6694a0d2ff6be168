"""Which keys a till takes for the office's: those that good ones lead to, and no others."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from terminal_agent.identity import verify
from terminal_agent.office_keys import TrustedKey, good_keys, learn, without_ended
from wire.feed import decode_feed, encode_feed
from wire.office_keys import KeyStatement, OfficeKeyList, make_statement

PRIVATE = [Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in range(6)]
KEYS = [private.public_key().public_bytes_raw() for private in PRIVATE]


def said(before: int, after: int, until_ms: int) -> KeyStatement:
    """Key `before` says that key `after` is the office's."""
    one, other = ((KEYS[n], PRIVATE[n].sign) for n in (before, after))
    return make_statement(one, other, 0, until_ms)


FIRST = (TrustedKey(KEYS[0]),)


def test_a_key_is_learnt_from_one_that_is_known_and_both_are_good_for_a_while():
    learnt = learn(FIRST, [said(0, 1, 100)], 50, verify)
    assert learnt == (TrustedKey(KEYS[0], 100), TrustedKey(KEYS[1]))
    assert good_keys(learnt, 99) == (KEYS[0], KEYS[1])
    assert good_keys(learnt, 100) == (KEYS[1],)


def test_a_chain_leads_as_far_as_its_links_are_good():
    chain = [said(0, 1, 100), said(1, 2, 200), said(2, 3, 300)]
    assert good_keys(learn(FIRST, chain, 99, verify), 99) == tuple(KEYS[:4])
    assert good_keys(learn(FIRST, chain, 100, verify), 100) == (KEYS[0],)
    later = learn((TrustedKey(KEYS[1]),), chain, 150, verify)
    assert good_keys(later, 150) == (KEYS[1], KEYS[2], KEYS[3])


def test_a_key_that_has_ended_leads_nowhere():
    ended = (TrustedKey(KEYS[0], 100), TrustedKey(KEYS[1]))
    assert KEYS[2] not in good_keys(learn(ended, [said(0, 2, 900)], 100, verify), 100)
    # The end of a key comes nearer, never later.
    assert learn(ended, [said(0, 1, 900)], 50, verify) == ended
    assert learn(ended, [said(0, 1, 60)], 50, verify)[0] == TrustedKey(KEYS[0], 60)


def test_a_statement_needs_both_signatures():
    good = said(0, 1, 100)
    for forged in (
        structs.replace(good, signature=bytes(64)),
        structs.replace(good, proof=bytes(64)),
        structs.replace(good, after=KEYS[2]),
        structs.replace(good, before_until_ms=200),
        said(3, 1, 100),
    ):
        assert learn(FIRST, [forged], 50, verify) == FIRST


@given(
    links=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 300)), max_size=6
    ),
    now_ms=st.integers(0, 320),
)
def test_whatever_is_said_every_key_that_is_good_was_reached_from_the_first(
    links: list[tuple[int, int, int]], now_ms: int
):
    statements = [said(*link) for link in links]
    learnt = learn(FIRST, statements, now_ms, verify)
    reached = {0}
    for _ in links:  # in whatever order they were said, and how often
        reached |= {after for before, after, ends in links if before in reached and ends > now_ms}
    assert {key.public_key for key in learnt} <= {KEYS[n] for n in reached}
    again = learn(learnt, statements, now_ms, verify)
    assert {key.public_key for key in again} <= {KEYS[n] for n in reached}


def test_the_key_of_the_files_in_force_stays_until_there_are_others():
    keys = (TrustedKey(KEYS[0], 100), TrustedKey(KEYS[1]))
    assert without_ended(keys, 100, KEYS[0]) == keys
    assert without_ended(keys, 100, KEYS[1]) == keys[1:]
    assert without_ended(keys, 100, None) == keys[1:]


def test_a_list_of_keys_is_read_back_as_it_was_written():
    part = OfficeKeyList("2-5", KEYS[1], (said(0, 1, 100),))
    assert decode_feed(encode_feed(part), OfficeKeyList) == part
