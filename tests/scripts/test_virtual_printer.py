import io
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scripts.virtual.escpos import CommandReader, RealTimeReader
from scripts.virtual.paper import Barcode, Paper, QrCode, Receipt, TextLine, code128_text
from scripts.virtual.ports import PtyPort, TcpPort
from scripts.virtual.printer import ControlError, PrinterUnit, ReceiptTray, check_control
from scripts.virtual.printer_state import PaperEnd, VirtualPrinter
from scripts.virtual.receipt_image import as_image
from scripts.virtual.receipt_text import as_text

ANSWER_S_MAX = 5.0
CUT = b"\x1dV\x00"

QR = b"\x1d(k\x03\x00\x31\x43\x05" + b"\x1d(k\x08\x001P0hello" + b"\x1d(k\x03\x001Q0"
BARCODE = b"\x1dh\x50\x1dw\x02\x1dH\x02\x1dk\x49\x0d{BKR.TILL-1.7"
RASTER = b"\x1dv0\x00\x02\x00\x03\x00" + b"\x10\x04\x01\x1dV\x00"  # a status and a cut inside

pieces = st.sampled_from(
    [
        b"Cr\x8ame 1.99\n",
        b"\x1b@",
        b"\x1ba\x01",
        b"\x1bE\x01",
        b"\x1b!\x38",
        b"\x1d!\x11",
        b"\x1bt\x13\xd5\n",
        b"\x1bd\x02",
        QR,
        BARCODE,
        b"\x1dk\x02400638133393\x00",
        RASTER,
        CUT,
        b"\x1dVB\x10",
        b"\x1bi",
        b"\x10\x04\x04",
        b"\x1bp\x00\x19\xfa",
        b"\x1b\xff",
        b"\x1bD\x08\x10\x00\t!",
    ]
)
streams = st.lists(st.one_of(pieces, st.binary(max_size=12)), max_size=12).map(b"".join)


def printed(pieces: list[bytes]) -> tuple[list[Receipt], bytes]:
    printer = VirtualPrinter()
    answers = b"".join(printer.receive(piece) for piece in pieces)
    printer.tear_off()
    return printer.take_receipts(), answers


@given(stream=streams, data=st.data())
def test_any_split_of_the_stream_gives_the_same_receipts(
    stream: bytes, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    split = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole, answers = printed([stream])
    parts, answers_of_parts = printed(split)
    assert parts == whole
    # What is answered when depends on the pace; what is answered does not.
    assert sorted(answers_of_parts) == sorted(answers)


@given(stream=streams)
def test_every_receipt_can_be_drawn(stream: bytes) -> None:
    for receipt in printed([stream])[0]:
        as_text(receipt).encode()
        as_image(receipt).save(io.BytesIO(), "PNG")


def one_receipt(stream: bytes) -> Receipt:
    (receipt,) = printed([stream])[0]
    return receipt


def test_text_follows_the_code_page() -> None:
    assert "€ 1" in as_text(one_receipt(b"\x1bt\x13\xd5 1\n" + CUT))


def test_a_line_too_long_for_the_paper_goes_on_below() -> None:
    receipt = one_receipt(b"x" * 50 + b"\n" + CUT)
    texts = [line.spans[0].text for line in receipt.printed if isinstance(line, TextLine)]
    assert texts == ["x" * 48, "xx"]


def test_wide_text_is_centred_by_its_width() -> None:
    lines = as_text(one_receipt(b"\x1ba\x01\x1d!\x10ABCD\n" + CUT)).splitlines()
    assert lines[0] == " " * 20 + "ABCD"


def test_a_qr_code_and_a_barcode_keep_their_text() -> None:
    receipt = one_receipt(QR + BARCODE + CUT)
    qr, barcode = receipt.printed
    assert isinstance(qr, QrCode)
    assert qr.text == "hello"
    assert isinstance(barcode, Barcode)
    assert (barcode.symbology, barcode.text) == ("CODE128", "KR.TILL-1.7")


def test_code_128_set_c_is_pairs_of_digits() -> None:
    assert code128_text(b"{C\x0c\x22{BA{{") == "1234A{"


def test_a_cut_inside_an_image_is_not_a_cut() -> None:
    assert len(printed([RASTER + b"x\n" + CUT])[0]) == 1


def test_a_status_question_inside_an_image_is_answered_and_stays_image() -> None:
    receipts, answers = printed([RASTER + CUT])
    assert answers == b"\x12"
    assert len(receipts) == 1


def test_a_cut_of_empty_paper_is_no_receipt() -> None:
    assert printed([b"\n\n" + CUT])[0] == []


def test_what_is_not_understood_is_said() -> None:
    receipt = one_receipt(b"\x1b\xfea\n" + CUT)
    assert receipt.problems == ("unknown command 1b fe",)


@given(st.binary(max_size=200))
def test_no_bytes_upset_the_readers(data: bytes) -> None:
    CommandReader().receive(data)
    RealTimeReader().receive(data)
    paper = Paper()
    for command in CommandReader().receive(data):
        paper.print(command)


@pytest.mark.parametrize(
    ("condition", "answers"),
    [
        ({}, "12 12 12"),
        ({"paper": PaperEnd.LOW}, "12 12 1e"),
        ({"paper": PaperEnd.OUT}, "1a 32 7e"),
        ({"cover_open": True}, "1a 16 12"),
        ({"drawer_open": True}, "16 12 12"),
    ],
)
def test_status_bytes_are_those_of_an_epson(condition: dict[str, object], answers: str) -> None:
    printer = VirtualPrinter()
    printer.change(**condition)
    assert printer.receive(b"\x10\x04\x01\x10\x04\x02\x10\x04\x04").hex(" ") == answers


@pytest.mark.parametrize(
    ("condition", "packet"),
    [
        ({"paper": PaperEnd.LOW}, "10 00 03 00"),
        ({"paper": PaperEnd.OUT}, "18 00 0f 00"),
        ({"cover_open": True}, "38 00 00 00"),
    ],
)
def test_a_change_is_reported_by_itself_when_asked_for(
    condition: dict[str, object], packet: str
) -> None:
    printer = VirtualPrinter()
    assert printer.receive(b"\x1da\xff").hex(" ") == "10 00 00 00"
    assert printer.change(**condition).hex(" ") == packet
    assert printer.change(**condition) == b""


def test_a_printer_without_paper_keeps_the_job_and_prints_it_later() -> None:
    printer = VirtualPrinter()
    printer.change(paper=PaperEnd.OUT)
    printer.receive(b"hello\n" + CUT)
    assert printer.take_receipts() == []
    assert printer.receive(b"\x10\x04\x02") == b"\x32"
    printer.change(paper=PaperEnd.OK)
    assert len(printer.take_receipts()) == 1


def test_a_full_buffer_takes_no_more() -> None:
    printer = VirtualPrinter()
    printer.change(cover_open=True)
    printer.receive(b"x" * 5000)
    assert printer.room == 0
    printer.change(cover_open=False)
    assert printer.room > 0


def test_paper_can_run_out_in_the_middle() -> None:
    printer = VirtualPrinter()
    printer.receive(b"\x1da\xff")
    printer.change(lines_left=2)
    assert printer.receive(b"a\nb\nc\n" + CUT).hex(" ") == "18 00 0f 00"
    assert printer.take_receipts() == []
    printer.change(paper=PaperEnd.OK, lines_left=None)
    assert [as_text(receipt).split()[:3] for receipt in printer.take_receipts()] == [
        ["a", "b", "c"]
    ]


def test_a_silent_printer_prints_and_says_nothing() -> None:
    printer = VirtualPrinter()
    printer.change(silent=True)
    assert printer.receive(b"\x10\x04\x01x\n" + CUT) == b""
    assert len(printer.take_receipts()) == 1


def test_the_answer_to_a_process_id_comes_after_what_was_printed() -> None:
    printer = VirtualPrinter()
    question = b"\x1d(H\x06\x00\x30\x30ABCD"
    assert printer.receive(question) == b"\x37\x22ABCD\x00"
    printer.change(paper=PaperEnd.OUT)
    assert printer.receive(b"x\n" + question) == b""
    assert printer.change(paper=PaperEnd.OK) == b"\x37\x22ABCD\x00"


def test_a_printer_names_itself() -> None:
    assert VirtualPrinter().receive(b"\x1dI\x43") == b"_TM-T20III\x00"


def test_a_picture_looks_like_the_receipt() -> None:
    picture = as_image(one_receipt(b"\x1bE\x01TOTAL 1.99\n" + CUT))
    assert picture.width > 576
    assert len(Image.Image.getcolors(picture) or []) > 3


@pytest.mark.parametrize("line", ["paper on", "cover", "slow fast", "dance", "", "unplug now"])
def test_a_control_that_means_nothing_is_refused(line: str) -> None:
    with pytest.raises(ControlError):
        check_control(line)


Started = Callable[[Callable[[], PtyPort | TcpPort]], PrinterUnit]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    units: list[PrinterUnit] = []

    def start(plug_in: Callable[[], PtyPort | TcpPort]) -> PrinterUnit:
        unit = PrinterUnit(plug_in, ReceiptTray(tmp_path / "receipts", draw=True))
        unit.start()
        units.append(unit)
        return unit

    yield start
    for unit in units:
        unit.stop()


def ask(handle: int, question: bytes, length: int) -> bytes:
    os.write(handle, question)
    answer = b""
    while len(answer) < length:
        assert select.select([handle], [], [], ANSWER_S_MAX)[0], "no answer from the printer"
        answer += os.read(handle, 64)
    return answer


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ANSWER_S_MAX
    while not true():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.005)


def test_a_receipt_over_a_pty_becomes_text_and_picture(started: Started, tmp_path: Path) -> None:
    unit = started(lambda: PtyPort(tmp_path / "printer"))
    handle = os.open(unit.path, os.O_RDWR | os.O_NOCTTY)
    assert ask(handle, b"hello\n" + CUT + b"\x10\x04\x01", 1) == b"\x12"
    os.close(handle)
    until(lambda: unit.count == 1)
    unit.stop()
    assert (tmp_path / "receipts/0001.txt").read_text().startswith("hello\n")
    assert Image.open(tmp_path / "receipts/0001.png").width > 576


def test_a_receipt_over_tcp_does_too(started: Started, tmp_path: Path) -> None:
    unit = started(TcpPort)
    port = int(unit.path.rsplit(":", 1)[1])
    for turn in (1, 2):  # a second host after the first
        with socket.create_connection(("127.0.0.1", port), ANSWER_S_MAX) as host:
            host.sendall(b"hello\n" + CUT + b"\x10\x04\x01")
            assert host.recv(1) == b"\x12"
        until(lambda turn=turn: unit.count == turn)


def test_an_unplugged_printer_is_gone_and_comes_back_under_its_name(
    started: Started, tmp_path: Path
) -> None:
    link = tmp_path / "printer"
    unit = started(lambda: PtyPort(link))
    handle = os.open(link, os.O_RDWR | os.O_NOCTTY)
    unit.control("unplug", wait_s=ANSWER_S_MAX)
    assert not link.exists()
    with pytest.raises(OSError, match="Input/output error"):
        os.write(handle, b"x")
    os.close(handle)
    unit.control("plug", wait_s=ANSWER_S_MAX)
    handle = os.open(link, os.O_RDWR | os.O_NOCTTY)
    assert ask(handle, b"\x10\x04\x01", 1) == b"\x12"
    os.close(handle)


def test_automatic_status_comes_up_the_cable(started: Started) -> None:
    unit = started(PtyPort)
    handle = os.open(unit.path, os.O_RDWR | os.O_NOCTTY)
    assert ask(handle, b"\x1da\xff", 4).hex(" ") == "10 00 00 00"
    unit.control("cover open", wait_s=ANSWER_S_MAX)
    assert ask(handle, b"", 4).hex(" ") == "38 00 00 00"
    os.close(handle)
