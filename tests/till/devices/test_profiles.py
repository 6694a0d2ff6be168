"""Profiles: every value with its source, every gap said."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from escpos.capabilities import CAPABILITIES

from terminal_agent.profiles import (
    ProfileError,
    load_printer,
    load_scanner,
    printer_names,
    scanner_names,
)

DATABASE: dict[str, dict[str, Any]] = CAPABILITIES["profiles"]


@pytest.mark.parametrize("name", scanner_names())
def test_every_scanner_profile_loads_with_sources(name: str) -> None:
    profile = load_scanner(name)
    assert profile.name == name
    assert all(profile.sources.values())
    assert all(len(end) == 1 for end in profile.terminators)


@pytest.mark.parametrize("name", printer_names())
def test_every_printer_profile_loads_with_sources(name: str) -> None:
    profile = load_printer(name)
    assert all(profile.sources.values())
    assert profile.escpos_profile in DATABASE
    assert profile.columns <= profile.columns_small


@pytest.mark.parametrize("name", printer_names())
def test_what_is_said_to_come_from_the_database_is_in_it(name: str) -> None:
    profile = load_printer(name)
    entry = DATABASE[profile.escpos_profile]
    claims = {
        key for key, source in profile.sources.items() if "as packaged in python-escpos" in source
    }
    width = entry["media"]["width"]["pixels"]
    features = entry["features"]
    holds = {
        "columns": entry["fonts"]["0"]["columns"] == profile.columns,
        "columns_small": entry["fonts"]["1"]["columns"] == profile.columns_small,
        "dots": width == profile.dots,
        "dpi": entry["media"].get("dpi") == profile.dpi,
        "code_page": entry["codePages"].get(str(profile.code_page_number)) == profile.code_page,
        "qr": bool(features.get("qrCode")) == profile.qr,
        "barcode": bool(features.get("barcodeB")) == profile.barcode,
        "raster": bool(features.get("bitImageRaster")) == profile.raster,
        "cut": bool(
            features.get({"full": "paperFullCut", "part": "paperPartCut"}.get(profile.cut, ""))
        )
        or (profile.cut == "none" and not features.get("paperFullCut")),
    }
    # What a model lacks comes from the generic profile, whose entry is another.
    own = claims if name == "generic-80mm" else claims & own_values(name)
    assert [key for key, held in holds.items() if key in own and not held] == []


def own_values(name: str) -> set[str]:
    import hw_profiles

    file = Path(str(hw_profiles.__file__)).parent / "printers" / f"{name}.toml"
    content: dict[str, Any] = msgspec.toml.decode(file.read_bytes())
    return set(content["values"])


def test_the_generic_profiles_warn_of_nothing() -> None:
    assert load_scanner("generic").warnings == ()
    assert load_printer("generic-80mm").warnings == ()


def test_a_value_that_is_not_known_comes_from_the_generic_profile_and_is_told() -> None:
    profile = load_printer("epson-tm-t88v")
    assert profile.baudrate == load_printer("generic-80mm").baudrate
    assert "baudrate 9600" in profile.warnings[0]


def test_a_value_that_is_not_verified_is_told() -> None:
    assert any("Not verified" in warning for warning in load_scanner("zebra-ls2208").warnings)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ProfileError) as caught:
        load_scanner("zebra-ds9999")
    assert caught.value.code == "profile_unknown"
    assert "zebra-ds6608" in caught.value.fix


@pytest.mark.parametrize("name", ["../printers/generic-80mm", "/etc/passwd", "", "generic\x00"])
def test_a_name_is_never_a_path(name: str) -> None:
    with pytest.raises(ProfileError):
        load_scanner(name)


def test_a_profile_of_the_deployments_own_is_found_first(tmp_path: Path) -> None:
    (tmp_path / "generic.toml").write_text("nonsense")
    (tmp_path / "ours.toml").write_text(
        'title = "Ours"\n[sources]\nlabel = "label on the device"\n'
        '[values]\nbaudrate = { is = 115200, source = "label" }\n'
    )
    profile = load_scanner("ours", tmp_path)
    assert profile.baudrate == 115_200
    assert profile.sources["baudrate"] == "label on the device"
    assert profile.bytesize == 8


SOURCED = 'title = "x"\n[sources]\na = "b"\n[values]\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title = 3", "title"),
        ("nonsense", "faulty"),
        (SOURCED + 'baud = { is = 1, source = "a" }', "baud"),
        (SOURCED + 'baudrate = { is = 9600, source = "nowhere" }', "source"),
        (SOURCED + 'baudrate = { is = "fast", source = "a" }', "baudrate"),
        (SOURCED + 'terminators = { is = ["BEL"], source = "a" }', "BEL"),
        (SOURCED + 'terminators = { is = "CR", source = "a" }', "list"),
    ],
)
def test_a_faulty_file_is_refused_with_the_reason(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ProfileError) as caught:
        load_scanner("mine", tmp_path)
    assert caught.value.code == "profile_faulty"
    assert said in caught.value.message
    assert caught.value.fix


def test_every_profile_is_in_the_handbook() -> None:
    handbook = (Path(__file__).parents[3] / "docs" / "hardware.md").read_text()
    missing = [n for n in (*scanner_names(), *printer_names()) if f"`{n}`" not in handbook]
    assert missing == []
