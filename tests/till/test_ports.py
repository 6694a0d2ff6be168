"""Ports, on real ptys and real sockets."""

import errno
import fcntl
import os
import pty
import socket
import struct
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal_agent.ports import (
    GOOD_SERVICE_S,
    PATH_POLL_S,
    RETRY_FIRST_S,
    RETRY_MAX_S,
    Backoff,
    Port,
    PortLost,
    PortSettings,
    is_there,
    open_port,
    printer_settings,
    scanner_settings,
    wait_to_reopen,
    write_deadline_s,
)
from terminal_agent.profiles import load_printer, load_scanner

SETTINGS = PortSettings()
NOBODY = 65_534


@dataclass
class Device:
    """The device's end of a pty."""

    fd: int
    path: str

    def send(self, data: bytes) -> None:
        os.write(self.fd, data)

    def take(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            got += os.read(self.fd, size - len(got))
        return got

    def unplug(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def plug_in() -> Device:
    fd, line = pty.openpty()
    path = os.ttyname(line)
    os.close(line)
    return Device(fd, path)


@pytest.fixture
def device() -> Iterator[Device]:
    device = plug_in()
    yield device
    device.unplug()


@pytest.fixture
def port(device: Device) -> Iterator[Port]:
    port = open_port(device.path, SETTINGS)
    yield port
    port.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def address_of(listener: socket.socket) -> str:
    return f"tcp://127.0.0.1:{listener.getsockname()[1]}"


def refusal(address: str) -> PortLost:
    with pytest.raises(PortLost) as caught:
        open_port(address, SETTINGS).close()
    assert caught.value.message.endswith(".")
    assert caught.value.fix.endswith(".")
    return caught.value


def test_bytes_go_both_ways_unchanged(device: Device, port: Port) -> None:
    every_byte = bytes(range(256))
    device.send(every_byte)
    got = b""
    while len(got) < 256:
        got += port.read(1.0)
    assert got == every_byte
    assert port.write(every_byte, 1.0) == 256
    assert device.take(256) == every_byte


def test_a_read_with_nothing_to_read_ends_in_time(port: Port) -> None:
    began = time.monotonic()
    assert port.read(0.02) == b""
    assert time.monotonic() - began < 0.5


def test_a_read_returns_at_once_when_something_is_there(device: Device, port: Port) -> None:
    device.send(b"4006")
    began = time.monotonic()
    assert port.read(10.0) == b"4006"
    assert time.monotonic() - began < 1.0


def test_a_device_that_is_unplugged_is_lost_for_reading_and_writing(
    device: Device, port: Port
) -> None:
    device.unplug()
    with pytest.raises(PortLost) as caught:
        port.read(1.0)
    assert caught.value.code == "lost"
    with pytest.raises(PortLost) as caught:
        port.write(b"receipt", 1.0)
    assert caught.value.code == "lost"
    assert caught.value.sent == 0
    port.close()
    port.close()


def test_a_device_that_comes_back_is_opened_under_the_same_name(tmp_path: Path) -> None:
    name = tmp_path / "usb-scanner"
    first = plug_in()
    name.symlink_to(first.path)
    port = open_port(str(name), SETTINGS)
    first.unplug()
    name.unlink()
    with pytest.raises(PortLost):
        port.read(1.0)
    port.close()
    assert refusal(str(name)).code == "absent"
    second = plug_in()
    name.symlink_to(second.path)
    again = open_port(str(name), SETTINGS)
    second.send(b"4006381333931\r")
    assert again.read(1.0) == b"4006381333931\r"
    again.close()
    second.unplug()


def test_a_printer_that_takes_nothing_raises_when_the_deadline_is_over(port: Port) -> None:
    began = time.monotonic()
    with pytest.raises(PortLost) as caught:
        port.write(b"x" * 1_000_000, 0.2)
    assert time.monotonic() - began < 1.0
    assert caught.value.code == "stuck"
    assert 0 < caught.value.sent < 1_000_000
    assert f"{caught.value.sent} of 1000000" in caught.value.message


def test_what_a_stuck_printer_had_not_taken_does_not_come_out_later(
    device: Device, port: Port
) -> None:
    with pytest.raises(PortLost) as caught:
        port.write(b"x" * 1_000_000, 0.05)
    port.close()
    os.set_blocking(device.fd, False)
    came_out = 0
    with suppress(OSError):  # until there is nothing more, or the line is closed
        while data := os.read(device.fd, 65_536):
            came_out += len(data)
    assert came_out <= caught.value.sent


def test_a_printer_that_says_xoff_is_waited_for(device: Device) -> None:
    port = open_port(device.path, replace(SETTINGS, flow="xonxoff"))
    device.send(b"\x13")
    with pytest.raises(PortLost) as caught:
        port.write(b"receipt", 0.1)
    assert (caught.value.code, caught.value.sent) == ("stuck", 0)
    device.send(b"\x11")
    assert port.write(b"receipt", 2.0) == 7
    assert device.take(7) == b"receipt"
    port.close()


@pytest.mark.parametrize("flow", ["none", "xonxoff", "rtscts"])
def test_a_line_without_modem_pins_opens_all_the_same(device: Device, flow: str) -> None:
    line = os.open(device.path, os.O_RDWR | os.O_NOCTTY)
    with pytest.raises(OSError) as caught:
        fcntl.ioctl(line, termios.TIOCMGET, struct.pack("i", 0))
    os.close(line)
    assert caught.value.errno in (errno.ENOTTY, errno.EINVAL)
    port = open_port(device.path, replace(SETTINGS, flow=flow))  # pyright: ignore[reportArgumentType]
    assert port.write(b"ok", 1.0) == 2
    port.close()


@pytest.mark.parametrize("name", ["citizen-ct-s310ii", "generic-80mm"])
def test_the_speed_of_a_profile_is_set_on_the_line(device: Device, name: str) -> None:
    # Parity and byte size cannot be seen here: a pty is always 8N1, whatever it is told.
    profile = load_printer(name)
    port = open_port(device.path, printer_settings(profile))
    speed = termios.tcgetattr(device.fd)[5]
    assert speed == {9_600: termios.B9600, 19_200: termios.B19200}[profile.baudrate]
    port.close()


def test_the_settings_of_a_scanner_are_those_of_its_profile() -> None:
    settings = scanner_settings(load_scanner("zebra-ds6608-olivetti"))
    assert (settings.baudrate, settings.bytesize, settings.parity) == (9_600, 7, "even")
    assert not settings.pace_line


def test_a_port_that_is_taken_says_so_and_is_free_after_closing(device: Device) -> None:
    port = open_port(device.path, SETTINGS)
    busy = refusal(device.path)
    assert busy.code == "busy"
    assert "fuser" in busy.fix
    port.close()
    open_port(device.path, SETTINGS).close()


def test_a_path_that_is_not_there_is_absent() -> None:
    absent = refusal("/dev/serial/by-id/usb-nobody")
    assert absent.code == "absent"
    assert "by-id" in absent.fix


@pytest.mark.parametrize("address", ["/dev/null", "/etc/hostname", "/tmp", "/dev/tty\x00S0"])
def test_a_path_that_is_no_serial_port_says_so(address: str) -> None:
    assert refusal(address).code in ("not_a_port", "absent")


def test_a_port_one_may_not_open_names_the_group(device: Device) -> None:
    Path(device.path).chmod(0)
    said, says = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:  # root may open everything
            os.setuid(NOBODY)
        try:
            open_port(device.path, SETTINGS)
        except PortLost as denied:
            os.write(says, f"{denied.code}|{denied.fix}".encode())
        os._exit(0)
    os.close(says)
    os.waitpid(child, 0)
    code, _, fix = os.read(said, 4096).decode().partition("|")
    os.close(said)
    assert code == "not_permitted"
    assert "dialout" in fix


def test_a_printer_on_the_network_gets_every_byte_and_answers(listener: socket.socket) -> None:
    got: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            left = 100_000
            while left:
                got.append(connection.recv(65_536))
                left -= len(got[-1])
            connection.sendall(b"\x12\x12\x12")
            connection.recv(1)

    server = threading.Thread(target=serve)
    server.start()
    port = open_port(address_of(listener), printer_settings(load_printer("generic-80mm")))
    data = bytes(range(256)) * 390 + b"x" * 160
    assert port.write(data, 5.0) == 100_000
    answer = b""
    while len(answer) < 3:
        answer += port.read(2.0)
    port.close()
    server.join(5)
    assert b"".join(got) == data
    assert answer == b"\x12\x12\x12"


def test_a_network_printer_that_takes_nothing_raises_when_the_deadline_is_over(
    listener: socket.socket,
) -> None:
    port = open_port(address_of(listener), SETTINGS)
    began = time.monotonic()
    with pytest.raises(PortLost) as caught:
        port.write(b"x" * 30_000_000, 0.2)
    assert time.monotonic() - began < 2.0
    assert caught.value.code == "stuck"
    assert caught.value.sent < 30_000_000
    port.close()


def test_a_network_printer_that_hangs_up_is_lost(listener: socket.socket) -> None:
    port = open_port(address_of(listener), SETTINGS)
    connection, _ = listener.accept()
    connection.close()
    with pytest.raises(PortLost) as caught:
        port.read(2.0)
    assert caught.value.code == "lost"
    port.close()


def test_a_network_printer_that_is_off_is_unreachable(listener: socket.socket) -> None:
    address = address_of(listener)
    listener.close()
    off = refusal(address)
    assert off.code == "unreachable"
    assert "one connection" in off.fix


@pytest.mark.parametrize("address", ["tcp://", "tcp://:9100", "tcp://host:99999", "tcp://[::1"])
def test_an_address_that_is_none_says_how_to_write_it(address: str) -> None:
    assert refusal(address).code == "bad_address"


def test_a_name_that_no_network_knows_is_unreachable() -> None:
    assert refusal("tcp://" + "a" * 80 + ".invalid:9100").code == "unreachable"


def test_a_paced_write_takes_its_time_and_no_more(device: Device) -> None:
    port = open_port(device.path, replace(SETTINGS, chunk_bytes=10, pace_bytes_per_s=1_000.0))
    began = time.monotonic()
    port.write(b"x" * 100, 5.0)
    assert 0.09 <= time.monotonic() - began < 2.0
    port.close()


def test_a_paced_write_still_keeps_its_deadline(device: Device) -> None:
    port = open_port(device.path, replace(SETTINGS, chunk_bytes=10, pace_bytes_per_s=10.0))
    began = time.monotonic()
    with pytest.raises(PortLost) as caught:
        port.write(b"x" * 1_000, 0.1)
    assert time.monotonic() - began < 1.0
    assert caught.value.sent == 10
    port.close()


def test_a_printer_without_flow_control_is_paced_on_a_line_and_not_on_a_pty(
    device: Device,
) -> None:
    settings = printer_settings(load_printer("generic-80mm"))
    assert settings.pace_line
    port = open_port(device.path, settings)
    began = time.monotonic()
    port.write(b"x" * 2_000, 5.0)
    assert time.monotonic() - began < 1.0
    port.close()


def test_a_deadline_gives_the_line_time_enough() -> None:
    assert write_deadline_s(9_600, replace(SETTINGS, baudrate=9_600)) > 9_600 * 11 / 9_600


def test_a_path_is_there_or_not(device: Device, tmp_path: Path) -> None:
    assert is_there(device.path)
    assert is_there("tcp://printer:9100")
    assert not is_there(str(tmp_path / "gone"))
    assert not is_there("\x00")


def test_waits_grow_up_to_a_bound() -> None:
    backoff = Backoff(lambda: 1.0)
    waits = [backoff.failed(float(n)) for n in range(10)]
    assert waits[:4] == [RETRY_FIRST_S * 2**n for n in range(4)]
    assert waits[-1] == RETRY_MAX_S


def test_only_thirty_seconds_of_good_service_make_the_waits_short_again() -> None:
    backoff = Backoff(lambda: 1.0)
    for n in range(6):
        backoff.failed(float(n))
    backoff.opened(10.0)
    assert backoff.failed(10.0 + GOOD_SERVICE_S - 0.1) > RETRY_FIRST_S
    backoff.opened(50.0)
    assert backoff.failed(50.0 + GOOD_SERVICE_S) == RETRY_FIRST_S


@given(jitter=st.floats(0, 1, exclude_max=True), failures=st.integers(1, 2_000))
def test_a_wait_is_never_nothing_and_never_too_long(jitter: float, failures: int) -> None:
    backoff = Backoff(lambda: jitter)
    wait_s = [backoff.failed(0.0) for _ in range(failures)][-1]
    assert RETRY_FIRST_S / 2 <= wait_s <= RETRY_MAX_S


def test_a_device_that_is_plugged_in_again_is_not_waited_for(tmp_path: Path) -> None:
    name = tmp_path / "scanner"
    now = [0.0]

    def pause(seconds: float) -> bool:
        now[0] += seconds
        if now[0] >= 1.0:
            name.touch()
        return False

    assert not wait_to_reopen(str(name), 10.0, pause, lambda: now[0])
    assert now[0] == pytest.approx(1.0, abs=PATH_POLL_S)


def test_the_whole_wait_is_kept_when_the_path_was_there_all_along(tmp_path: Path) -> None:
    now = [0.0]

    def pause(seconds: float) -> bool:
        now[0] += seconds
        return False

    assert not wait_to_reopen(str(tmp_path), 3.0, pause, lambda: now[0])
    assert now[0] == pytest.approx(3.0)


def test_a_stop_ends_the_wait() -> None:
    assert wait_to_reopen("/dev/ttyNOBODY", 10.0, lambda _: True, lambda: 0.0)
