"""The configuration: read as a whole, every fault told at once with file and key."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terminal_agent.config import check_config, load_config
from terminal_agent.errors import ConfigError

GOOD = """
[till]
data = "data"
time_zone = "Europe/Amsterdam"
[office]
url = "https://office.example"
[scanner]
port = "/dev/serial/by-id/scanner"
[printer]
port = "tcp://printer.example:9100"
profile = "epson-tm-t20iii"
[[card]]
name = "loyalty"
prefixes = ["29"]
lengths = [13]
check = "gs1"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "till.toml"


def refused(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(file)
    assert error.value.fix
    return error.value.message


def test_a_good_configuration_is_read(file: Path):
    file.write_text(GOOD)
    config = load_config(file)
    assert config.data == file.parent / "data"
    assert config.rules.cards[0].prefixes == ("29",)
    assert config.printer.name == "epson-tm-t20iii"
    assert not config.replay_clock


def test_five_faults_are_told_at_once_with_file_and_key(file: Path):
    text = (
        GOOD.replace('data = "data"', "data = 7")
        .replace("Europe/Amsterdam", "Europe/Atlantis")
        .replace("https://office.example", "office")
        .replace("epson-tm-t20iii", "epson-tm-t20iiii")
        .replace("[13]", '["13"]')
    )
    message = refused(file, text)
    assert "5 faults" in message
    keys = ("till.data", "till.time_zone", "office.url", "printer.profile", "card[1].lengths")
    for key in keys:
        assert f"{file}: {key}:" in message


def test_a_mistyped_key_is_told_with_the_one_that_was_meant(file: Path):
    assert "did you mean profile?" in refused(file, GOOD.replace("profile =", "profil ="))


def test_a_missing_key_says_what_it_should_be(file: Path):
    message = refused(file, GOOD.replace('port = "/dev/serial/by-id/scanner"', ""))
    assert "scanner.port: is missing; it is text in quotes" in message


def test_a_file_that_is_no_toml_names_the_line(file: Path):
    assert "line 2" in refused(file, "[till]\ndata = \n")


def test_a_file_that_is_not_there_says_so(file: Path):
    with pytest.raises(ConfigError) as error:
        load_config(file)
    assert "--config" in error.value.fix


def test_a_bare_http_office_on_another_machine_is_refused(file: Path):
    assert "https://" in refused(file, GOOD.replace("https://office", "http://office"))


def test_what_was_set_at_the_device_overrides_its_profile(file: Path):
    line = 'profile = "epson-tm-t20iii"\nbaudrate = 38400\nflow = "xonxoff"'
    file.write_text(GOOD.replace('profile = "epson-tm-t20iii"', line))
    config = load_config(file)
    assert (config.printer.baudrate, config.printer.flow) == (38400, "xonxoff")


def test_an_authority_that_is_no_certificate_is_a_fault_like_any_other(file: Path):
    (file.parent / "ca.pem").write_text("no certificate")
    with_ca = GOOD.replace("[office]", '[office]\nca_file = "ca.pem"')
    assert "office.ca_file" in refused(file, with_ca)
    assert "cannot be read" in refused(file, with_ca.replace("ca.pem", "nope.pem"))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)
sections = st.sampled_from(["till", "office", "scanner", "printer", "receipt", "card", "other"])


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(st.dictionaries(sections, values))
def test_any_document_is_read_or_refused_with_its_faults(document: dict[str, object]):
    with pytest.raises(ConfigError) as error:
        check_config(document, Path("/etc/till.toml"))
    assert "/etc/till.toml: " in error.value.message
