"""The receipt's bytes, read back."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

import pytest
from escpos.printer.dummy import Dummy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs
from qrcode.constants import ERROR_CORRECT_M
from qrcode.main import QRCode

from terminal_agent.devices.code_pages import encode, fit
from terminal_agent.devices.escpos_bytes import RASTER_ROWS_MAX, EscposBytes
from terminal_agent.profiles import CodePage, PrinterProfile, load_printer, printer_names
from terminal_agent.receipt import (
    ReceiptContent,
    ReceiptLine,
    ReceiptVoucher,
    ReceiptWords,
    build_receipt,
    money,
)

TOKEN = "KV1." + "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" * 6
VOUCHER = ReceiptVoucher("1.00 off your next visit", 100, date(2017, 6, 13), TOKEN)
CONTENT = ReceiptContent(
    store_name="Klantreis Utrecht",
    till_id="demo-01",
    receipt_code="KR.DEMO-01.1.42",
    printed_at=datetime(2017, 5, 14, 13, 5, tzinfo=UTC),
    lines=(ReceiptLine("Milk", 1, 119), ReceiptLine("Bread rolls", 6, 240)),
    total_cents=359,
    tenders=(("Cash", 500),),
    change_cents=141,
    member_line="Loyalty card ····2288",
    vouchers=(VOUCHER,),
    header=("Oudegracht 1",),
    footer=("Thank you, come again",),
)
PAGES: tuple[CodePage, ...] = ("ASCII", "CP437", "CP850", "CP852", "CP858", "CP1252")


@dataclass
class Paper:
    """What came out of the printer."""

    text: list[str] = field(default_factory=lambda: [""])
    raw_text: bytes = b""
    qr: list[str] = field(default_factory=list)
    code128: list[str] = field(default_factory=list)
    strips: list[tuple[int, int]] = field(default_factory=list)
    dots: list[str] = field(default_factory=list)
    pages: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    fed: int = 0
    ended_clean: bool = False


# Commands with parameters of fixed length (Epson ESC/POS command reference).
FIXED = {
    b"\x1b@": 0,
    b"\x1bR": 1,
    b"\x1bt": 1,
    b"\x1ba": 1,
    b"\x1bE": 1,
    b"\x1bd": 1,
    b"\x1dh": 1,
    b"\x1dw": 1,
    b"\x1df": 1,
    b"\x1dH": 1,
    b"\x1dV": 1,
}


def read_back(job: bytes, page: CodePage) -> Paper:
    """Reads a job as a printer would; any byte that is no text and no known command fails."""
    paper = Paper()
    at = 0
    state = {b"\x1ba": 0, b"\x1bE": 0}
    while at < len(job):
        byte = job[at]
        if byte == 0x0A:
            paper.text.append("")
            at += 1
        elif byte >= 0x20 and byte != 0x7F:
            paper.text[-1] += job[at : at + 1].decode(page)
            paper.raw_text += job[at : at + 1]
            at += 1
        elif job[at : at + 2] in FIXED:
            command = job[at : at + 2]
            values = job[at + 2 : at + 2 + FIXED[command]]
            assert len(values) == FIXED[command]
            if command == b"\x1b@":
                assert at == 0
            elif command == b"\x1bt":
                paper.pages.append(values[0])
            elif command == b"\x1bd":
                paper.fed += values[0]
            elif command == b"\x1dV":
                paper.cuts.append(values[0])
            elif command in state:
                state[command] = values[0]
            at += 2 + FIXED[command]
        elif job[at : at + 3] == b"\x1d(k":
            size = int.from_bytes(job[at + 3 : at + 5], "little")
            block = job[at + 5 : at + 5 + size]
            assert len(block) == size
            if block[:3] == b"1P0":
                paper.qr.append(block[3:].decode("ascii"))
            at += 5 + size
        elif job[at : at + 3] == b"\x1dkI":
            size = job[at + 3]
            paper.code128.append(job[at + 4 : at + 4 + size].decode("ascii"))
            at += 4 + size
        elif job[at : at + 4] == b"\x1dv0\x00":
            width, height = (
                int.from_bytes(job[at + 4 : at + 6], "little"),
                int.from_bytes(job[at + 6 : at + 8], "little"),
            )
            start = at + 8
            for row in range(height):
                line = job[start + row * width : start + (row + 1) * width]
                assert len(line) == width
                paper.dots.append("".join(f"{b:08b}" for b in line))
            paper.strips.append((width * 8, height))
            at = start + width * height
        else:
            raise AssertionError(f"no such command: {job[at : at + 4].hex(' ')} at {at}")
    paper.ended_clean = all(value == 0 for value in state.values())
    return paper


def printed(content: ReceiptContent, profile: PrinterProfile) -> Paper:
    return read_back(build_receipt(content, profile), profile.code_page)


@pytest.mark.parametrize("name", printer_names())
def test_a_receipt_reads_back_on_every_printer(name: str) -> None:
    profile = load_printer(name)
    paper = printed(CONTENT, profile)
    text = "\n".join(paper.text)
    for wanted in (
        "Klantreis Utrecht",
        "Oudegracht 1",
        "2017-05-14 13:05",
        "Till demo-01",
        "6 x Bread rolls",
        "2288",
        "1.00 off your next visit",
        "Valid until 2017-06-13",
        "Receipt KR.DEMO-01.1.42",
        "Thank you, come again",
    ):
        assert wanted in text
    assert paper.pages == [profile.code_page_number]
    assert all(len(line) <= profile.columns for line in paper.text)
    assert paper.cuts == {"full": [0], "part": [1], "none": []}[profile.cut]
    assert paper.fed >= profile.feed_lines
    assert paper.ended_clean


def test_amounts_stand_at_the_right_edge() -> None:
    profile = load_printer("epson-tm-t88v")
    lines = printed(CONTENT, profile).text
    for wanted, amount in (("Milk", "1.19"), ("TOTAL EUR", "3.59"), ("Change", "1.41")):
        line = next(line for line in lines if line.startswith(wanted))
        assert line.endswith(" " + amount)
        assert len(line) == profile.columns


def test_a_voucher_is_a_qr_code_where_the_printer_draws_them() -> None:
    paper = printed(CONTENT, load_printer("epson-tm-t88v"))
    assert paper.qr == [TOKEN]
    assert paper.strips == []


def test_a_voucher_is_an_image_in_low_strips_where_it_does_not() -> None:
    profile = load_printer("zjiang-pos-5890")
    paper = printed(CONTENT, profile)
    assert paper.qr == []
    assert len(paper.strips) >= 2
    assert all(rows <= RASTER_ROWS_MAX and width <= profile.dots for width, rows in paper.strips)


def test_the_image_is_the_qr_code_of_the_token_dot_for_dot() -> None:
    profile = structs.replace(load_printer("zjiang-pos-5890"), barcode=True)
    paper = printed(replace(CONTENT, receipt_code="KR.A.1.1"), profile)
    assert paper.code128 == ["{BKR.A.1.1"]
    code = QRCode(border=4, error_correction=ERROR_CORRECT_M)
    code.add_data(TOKEN.encode(), optimize=0)
    code.make(fit=True)
    matrix = code.get_matrix()
    times = len(paper.dots) // len(matrix)
    assert times >= 2
    drawn = [[dot == "1" for dot in row] for row in paper.dots[::times]]
    assert [row[: len(matrix) * times : times] for row in drawn] == matrix
    assert all(paper.dots[at] == paper.dots[at - at % times] for at in range(len(paper.dots)))


def test_a_printer_that_draws_nothing_gets_the_token_as_text() -> None:
    paper = printed(CONTENT, load_printer("epson-tm-u220b"))
    assert paper.qr == []
    assert paper.strips == []
    assert TOKEN in "".join(paper.text)


def test_the_receipt_code_is_a_code_128_with_its_text() -> None:
    paper = printed(CONTENT, load_printer("epson-tm-t88v"))
    assert paper.code128 == ["{BKR.DEMO-01.1.42"]
    assert "Receipt KR.DEMO-01.1.42" in paper.text


def test_a_receipt_code_too_wide_for_the_paper_becomes_a_qr_code() -> None:
    code = "KR." + "A" * 32 + ".2147483647.9007199254740991"
    paper = printed(replace(CONTENT, receipt_code=code), load_printer("epson-tm-t88v"))
    assert paper.code128 == []
    assert paper.qr == [TOKEN, code]


def test_a_token_that_no_qr_code_can_hold_comes_as_text() -> None:
    huge = replace(VOUCHER, token="KV1." + "A" * 5000)
    paper = printed(replace(CONTENT, vouchers=(huge,)), load_printer("epson-tm-t88v"))
    assert paper.qr == []
    assert paper.text


def test_a_reprint_says_that_it_is_one() -> None:
    assert (
        "*** COPY ***"
        in printed(replace(CONTENT, duplicate=True), load_printer("generic-80mm")).text
    )
    assert "*** COPY ***" not in printed(CONTENT, load_printer("generic-80mm")).text


def test_a_long_name_is_wrapped_and_then_cut() -> None:
    profile = load_printer("zjiang-pos-5890")
    long = ReceiptLine(
        "Free range eggs from the farm next door, large, twelve in a box, organic", 2, 499
    )
    lines = printed(replace(CONTENT, lines=(long,)), profile).text
    at = next(i for i, line in enumerate(lines) if line.startswith("2 x Free range"))
    assert lines[at].endswith("4.99")
    assert lines[at + 1].startswith(" ")
    assert lines[at + 1].endswith(".")
    assert lines[at + 2] == "-" * profile.columns


def test_nothing_is_said_of_change_or_member_when_there_is_none() -> None:
    bare = replace(CONTENT, change_cents=0, member_line=None, vouchers=())
    text = "\n".join(printed(bare, load_printer("generic-80mm")).text)
    assert "Change" not in text
    assert "Loyalty" not in text
    assert "VOUCHER" not in text


def test_the_words_are_the_shops() -> None:
    words = ReceiptWords(total="TOTAAL", copy="KOPIE", decimal_point=",", date_format="%d-%m-%Y")
    lines = printed(replace(CONTENT, words=words), load_printer("generic-80mm")).text
    assert any(line.startswith("TOTAAL EUR") and line.endswith("3,59") for line in lines)
    assert any(line.startswith("14-05-2017") for line in lines)


@pytest.mark.parametrize(
    ("cents", "text"), [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (-12345, "-123.45")]
)
def test_money_has_two_decimals_and_its_sign(cents: int, text: str) -> None:
    assert money(cents, ReceiptWords()) == text


@given(name=st.text(max_size=120), page=st.sampled_from(PAGES))
@example("\x1b@\x1dV\x00", "CP858")
@example("a\nb\rc\x00\x10\x04\x01", "CP437")
@example("\ud800", "CP1252")
@example("漢字", "CP858")
@example("\x7f\x80\x9b", "CP850")
def test_text_never_becomes_a_control_byte(name: str, page: CodePage) -> None:
    data = encode(name, page)
    assert all(byte >= 0x20 and byte != 0x7F for byte in data)
    assert len(data) == len(fit(name, page))
    assert fit(fit(name, page), page) == fit(name, page)


def test_every_character_of_the_basic_plane_can_be_printed_somehow() -> None:
    for start in range(0, 0x10000, 0x1000):
        data = encode("".join(map(chr, range(start, start + 0x1000))), "CP858")
        assert all(byte >= 0x20 and byte != 0x7F for byte in data)


texts = st.text(max_size=60) | st.binary(max_size=30).map(lambda b: b.decode("latin-1"))
names = st.sampled_from(printer_names())


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=names)
def test_no_text_breaks_a_receipt_or_becomes_a_command(data: st.DataObject, name: str) -> None:
    profile = load_printer(name)
    hostile = ReceiptContent(
        store_name=data.draw(texts),
        till_id=data.draw(texts),
        receipt_code=data.draw(texts),
        printed_at=CONTENT.printed_at,
        lines=(
            ReceiptLine(
                data.draw(texts),
                data.draw(st.integers(0, 1_000_000)),
                data.draw(st.integers(-(10**12), 10**12)),
            ),
        ),
        total_cents=data.draw(st.integers(-(10**12), 10**12)),
        tenders=((data.draw(texts), 1),),
        member_line=data.draw(texts),
        vouchers=(ReceiptVoucher(data.draw(texts), 1, date(2020, 1, 1), "KV1.AAAA"),),
        header=(data.draw(texts),),
        footer=(data.draw(texts),),
    )
    paper = printed(hostile, profile)
    assert len(paper.cuts) == (profile.cut != "none")
    assert all(len(line) <= profile.columns for line in paper.text)


@pytest.mark.parametrize(
    ("text", "page", "wanted"),
    [
        ("Crème brûlée", "CP858", "Crème brûlée"),
        ("Crème brûlée", "ASCII", "Creme brulee"),
        ("€ 5", "CP858", "€ 5"),
        ("€ 5", "CP437", "EUR 5"),
        ("“quoted” – really…", "CP437", '"quoted" - really...'),
        ("Łódź", "CP852", "Łódź"),
        ("Łódź", "CP858", "Lódz"),
        ("e\u0301", "CP858", "é"),
        ("漢字 rice", "CP858", "?? rice"),
        ("a\tb\u00a0c", "CP858", "a b c"),
        ("half ½ third ⅓", "CP437", "half ½ third 1/3"),
        ("soft\u00adhyphen \u200bzero", "CP858", "softhyphen zero"),
    ],
)
def test_a_character_the_page_has_not_is_replaced_by_what_comes_nearest(
    text: str, page: CodePage, wanted: str
) -> None:
    assert fit(text, page) == wanted


def test_one_chinese_character_does_not_turn_the_line_to_gb18030() -> None:
    job = EscposBytes(load_printer("generic-80mm"))
    job.write("Crème 漢")
    assert job.output.endswith("Crème ?\n".encode("cp858"))
    # What python-escpos does by itself, and why its text() is not used:
    trap = Dummy()
    trap.text("Crème 漢")
    assert trap.output == "Crème 漢".encode("gb18030")


def test_an_escpos_profile_that_python_escpos_does_not_know_is_no_error() -> None:
    profile = structs.replace(load_printer("generic-80mm"), escpos_profile="TM-T99")
    assert printed(CONTENT, profile).qr == [TOKEN]


def test_building_a_receipt_says_nothing_on_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    for name in printer_names():
        build_receipt(CONTENT, load_printer(name))
    assert capfd.readouterr() == ("", "")
