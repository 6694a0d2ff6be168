"""Imports: good rows taken, bad ones aside with line and reason, twice is once."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_server.errors import RegistryError
from sync_server.registry.import_files import LINE_BYTES_MAX, BadRow, Fields, read_rows
from sync_server.registry.imports import Report, run_import
from sync_server.registry.members import parse_member, store_members
from sync_server.registry.products import parse_product, store_products
from sync_server.registry.schemes import DEFAULT_SCHEMES
from sync_server.tables import FeedPart, Identifier, Member, Product
from wire.identifiers import identifier_token

if TYPE_CHECKING:
    from tests.office.conftest import Desk

CARDS = ("2000000000015", "2000000000022", "2000000000039")


def import_members(desk: "Desk", path: Path) -> tuple[Report, list[BadRow]]:
    bad: list[BadRow] = []
    report = run_import(
        desk.office.database,
        read_rows(path, ("member",)),
        lambda fields: parse_member(fields, DEFAULT_SCHEMES),
        lambda connection, rows: store_members(connection, rows, desk.office.keys, desk.clock.ms),
        bad.append,
    )
    return report, bad


def import_products(desk: "Desk", path: Path) -> tuple[Report, list[BadRow]]:
    bad: list[BadRow] = []
    report = run_import(
        desk.office.database,
        read_rows(path, ("code", "name")),
        parse_product,
        lambda connection, rows: store_products(connection, rows, desk.clock.ms),
        bad.append,
    )
    return report, bad


def written(tmp_path: Path, text: str | bytes, name: str = "file.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def generations(desk: "Desk") -> dict[str, int]:
    return {row["part"]: row["generation"] for row in desk.rows(FeedPart)}


def test_members_come_with_their_cards(desk: "Desk", tmp_path: Path) -> None:
    path = written(
        tmp_path,
        f"member,card,enrolled_at\n1,{CARDS[0]},2026-01-02\n2,,2026-01-02T10:00:00+01:00\n",
    )
    report, bad = import_members(desk, path)
    assert (report, bad) == (Report(2, 2, 0), [])
    rows = [(row["member"], row["enrolled_at_ms"]) for row in desk.rows(Member)]
    assert rows == [(1, 1_767_312_000_000), (2, 1_767_344_400_000)]
    token = identifier_token(desk.office.keys.identifier_key, "card", CARDS[0])
    assert [row["token"] for row in desk.rows(Identifier)] == [token]


def test_the_database_holds_no_card_number(desk: "Desk", tmp_path: Path) -> None:
    import_members(desk, written(tmp_path, f"member,card\n1,{CARDS[0]}\n"))
    (row,) = desk.rows(Identifier)
    assert CARDS[0].encode() not in b"".join((row["token"], row["sealed"]))
    assert desk.office.keys.unseal(row["sealed"], row["token"]) == CARDS[0]


def test_the_same_file_twice_changes_nothing(desk: "Desk", tmp_path: Path) -> None:
    path = written(tmp_path, f"member,card\n1,{CARDS[0]}\n2,{CARDS[1]}\n")
    import_members(desk, path)
    before = (desk.rows(Member), desk.rows(Identifier), generations(desk))
    report, _ = import_members(desk, path)
    assert report == Report(2, 0, 0)
    assert (desk.rows(Member), desk.rows(Identifier), generations(desk)) == before


def test_a_member_may_get_another_card(desk: "Desk", tmp_path: Path) -> None:
    import_members(desk, written(tmp_path, f"member,card\n1,{CARDS[0]}\n"))
    report, _ = import_members(desk, written(tmp_path, f"member,card\n1,{CARDS[1]}\n"))
    assert report == Report(1, 1, 0)
    assert len(desk.rows(Identifier)) == 2


def test_bad_rows_are_aside_with_line_and_reason(desk: "Desk", tmp_path: Path) -> None:
    path = written(
        tmp_path,
        b"member,card,enrolled_at\n"
        b"1,2000000000015,\n"
        b"x,2000000000022,\n"
        b"-1,2000000000022,\n"
        b"4294967296,,\n"
        b",2000000000022,\n"
        b"3,2000000000023,\n"
        b"4,20000,\n"
        b"5,,yesterday\n"
        b"6,,1800-01-01\n"
        b"7\n"
        b'8,"2000000000022,\n'
        b"9,\xff\xfe,\n"
        b"10,2000000000015,\n"
        b"\n"
        b"11,2000000000039,\n",
    )
    report, bad = import_members(desk, path)
    assert report == Report(2, 2, 12)
    assert [row["member"] for row in desk.rows(Member)] == [1, 11]
    assert sorted(row.line for row in bad) == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    assert all(row.reason for row in bad)
    # Reasons go to screens and files: they never repeat a number.
    assert not any(digits in row.reason for row in bad for digits in ("200000", "20000"))


def test_a_card_of_another_member_is_not_taken_over(desk: "Desk", tmp_path: Path) -> None:
    import_members(desk, written(tmp_path, f"member,card\n1,{CARDS[0]}\n"))
    report, bad = import_members(desk, written(tmp_path, f"member,card\n2,{CARDS[0]}\n"))
    assert report == Report(0, 0, 1)
    assert "another member" in bad[0].reason
    assert [row["member"] for row in desk.rows(Identifier)] == [1]


def test_members_come_as_json_lines_too(desk: "Desk", tmp_path: Path) -> None:
    lines = (
        f'{{"member": 1, "card": ["{CARDS[0]}", "{CARDS[1]}"], "enrolled_at": null}}\n'
        '{"member": 2, "card": {}}\n'
        "[1]\n"
        "nonsense\n"
        '{"member": true}\n'
        f'{{"member": "3", "card": "{CARDS[2]}", "unknown": 1}}\n'
    )
    report, bad = import_members(desk, written(tmp_path, lines, "members.jsonl"))
    assert report == Report(2, 2, 4)
    assert [row.line for row in bad] == [2, 3, 4, 5]
    assert len(desk.rows(Identifier)) == 3


def test_a_line_without_end_is_bounded(desk: "Desk", tmp_path: Path) -> None:
    text = b"member\n" + b"9" * (LINE_BYTES_MAX * 3) + b"\n5\n"
    report, bad = import_members(desk, written(tmp_path, text))
    assert (report.rows, [row.line for row in bad]) == (1, [2])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_separator_is_seen_from_the_first_line(
    desk: "Desk", tmp_path: Path, delimiter: str
) -> None:
    rows = [("\ufeffCode", "Name", "Price"), ("4006381333931", "Pen", "1.99")]
    text = "".join(delimiter.join(row) + "\r\n" for row in rows)
    assert import_products(desk, written(tmp_path, text))[0] == Report(1, 1, 0)


def test_products_come_with_prices(desk: "Desk", tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "code,name,price,price_cents,department\n"
        "4006381333931,Pen,1.99,,Paper\n"
        '96385074,"Gum, mint",,50,\n'
        "100,Bag,,,\n"
        "101,Bread,2,,\n"
        '102,Milk,"1,5",,\n',
    )
    assert import_products(desk, path) == (Report(5, 5, 0), [])
    rows = {row["code"]: (row["name"], row["price_cents"]) for row in desk.rows(Product)}
    assert rows == {
        "4006381333931": ("Pen", 199),
        "96385074": ("Gum, mint", 50),
        "100": ("Bag", None),
        "101": ("Bread", 200),
        "102": ("Milk", 150),
    }
    assert generations(desk) == {"products": 1}
    assert import_products(desk, path) == (Report(5, 0, 0), [])
    assert generations(desk) == {"products": 1}


def test_bad_products_are_aside(desk: "Desk", tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "code,name,price,price_cents\n"
        "4006381333932,Pen,,\n"
        "5,Pen,free,\n"
        "6,Pen,1.999,\n"
        "7,Pen,,-5\n"
        "8,Pen,1,1\n"
        "9,,1,\n"
        f"10,{'x' * 129},,\n"
        "11,a\0b,,\n",
    )
    report, bad = import_products(desk, path)
    assert report == Report(0, 0, 8)
    assert [row.line for row in bad] == [2, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("text", ["", "\n", "name,price\n1,2\n", "\xff\x00", "a" * 200_000])
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text.encode("latin-1"))
    with pytest.raises(RegistryError) as refused:
        list(read_rows(path, ("code",)))
    assert refused.value.fix


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="No such file"):
        list(read_rows(tmp_path / "none.csv", ()))


@given(st.binary(max_size=400), st.sampled_from(["csv", "jsonl"]))
def test_no_bytes_break_the_reading(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any.{suffix}"
    path.write_bytes(b"member,card\n" + data if suffix == "csv" else data)
    for row in read_rows(path, ("member",)):
        if isinstance(row, Fields):
            try:
                parse_member(row, DEFAULT_SCHEMES)
                parse_product(row)
            except ValueError:
                pass
