"""The compiled encoder of rows: byte for byte what the plain-Python reference gives."""

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from native.rows import encode
from native.rows.reference import encode as reference

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "q": st.integers(-(2**63), 2**63 - 1),
    "i": st.integers(-(2**31), 2**31 - 1),
    "t": st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    "b": st.binary(max_size=40),
    "?": st.booleans(),
}
KINDS = st.text(st.sampled_from("qitb?"), max_size=8)
ANYTHING = st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.binary(), st.booleans())


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, list[tuple[Any, ...]]]:
    kinds = draw(KINDS)
    row = st.tuples(*(st.one_of(st.none(), VALUES[kind]) for kind in kinds))
    return kinds, draw(st.lists(row, max_size=6))


def outcome(encoder: Any, rows: list[Any], kinds: str) -> bytes | type[Exception]:
    try:
        return encoder(rows, kinds)
    except (OverflowError, TypeError) as error:
        return type(error)
    except ValueError:
        return ValueError


@given(tables())
def test_rows_are_encoded_as_the_reference_does(table: tuple[str, list[tuple[Any, ...]]]) -> None:
    kinds, rows = table
    assert encode(rows, kinds) == reference(rows, kinds)


@given(KINDS, st.lists(st.lists(ANYTHING, max_size=4).map(tuple), max_size=4))
def test_what_does_not_fit_is_refused_as_the_reference_does(kinds: str, rows: list[Any]) -> None:
    assert outcome(encode, rows, kinds) == outcome(reference, rows, kinds)


class Named(NamedTuple):
    number: int
    text: str | None


def test_a_named_tuple_is_a_row_like_any_other() -> None:
    rows = [Named(1, "a"), Named(2, None)]
    assert encode(rows, "qt") == encode([tuple(row) for row in rows], "qt")


@pytest.mark.parametrize(
    ("value", "kind", "error"),
    [
        (2**63, "q", OverflowError),
        (2**31, "i", OverflowError),
        (-(2**31) - 1, "i", OverflowError),
        (True, "q", TypeError),
        (1, "?", TypeError),
        ("1", "b", TypeError),
        ("\ud800", "t", ValueError),
        (1, "x", TypeError),
    ],
)
def test_a_value_no_column_of_its_kind_holds_is_refused(
    value: Any, kind: str, error: type[Exception]
) -> None:
    for encoder in (encode, reference):
        with pytest.raises(error):
            encoder([(value,)], kind)


def test_a_buffer_that_grows_loses_nothing() -> None:
    rows = [(number, "x" * number, b"y" * number) for number in range(1_000)]
    assert encode(rows, "qtb") == reference(rows, "qtb")
