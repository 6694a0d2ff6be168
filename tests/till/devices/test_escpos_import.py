"""python-escpos as it is imported: its own tables, and nothing left behind."""

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import yaml
from escpos import capabilities

IMPORTING = "import terminal_agent.devices.escpos_bytes"


def imported(folder: Path, code: str = "", **variables: str) -> str:
    """What a Python prints that imports it with `folder` as its temporary directory."""
    environment = {**os.environ, "TMPDIR": str(folder), **variables}
    done = subprocess.run(
        [sys.executable, "-c", f"{IMPORTING}\n{code}"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


def test_the_tables_are_those_that_the_library_reads_itself() -> None:
    text = files("escpos").joinpath("capabilities.json").read_text()
    assert yaml.safe_load(text) == capabilities.CAPABILITIES


def test_importing_leaves_no_file_no_handler_and_no_variable(tmp_path: Path) -> None:
    code = """
import logging, os, tempfile
print(logging.getLogger().handlers, [name for name in os.environ if "ESCPOS" in name])
print(tempfile.gettempdir())
"""
    assert imported(tmp_path, code) == f"[] []\n{tmp_path}\n"
    assert list(tmp_path.iterdir()) == []


def test_no_yaml_is_parsed_when_a_till_starts(tmp_path: Path) -> None:
    parser = tmp_path / "parser"
    parser.mkdir()
    (parser / "yaml.py").write_text("def safe_load(text):\n    raise AssertionError('parsed')\n")
    assert imported(tmp_path, PYTHONPATH=os.pathsep.join((str(parser), *sys.path))) == ""


def test_tables_of_the_technicians_own_are_taken(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    text = files("escpos").joinpath("capabilities.json").read_text()
    own.write_text(text.replace('"Epson"', '"Own"'))
    code = "from escpos.capabilities import CAPABILITIES\nprint('Own' in str(CAPABILITIES))"
    assert imported(tmp_path, code, ESCPOS_CAPABILITIES_FILE=str(own)) == "True\n"
