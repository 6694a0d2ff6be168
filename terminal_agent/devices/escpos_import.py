"""Importing python-escpos without what it does besides.

It configures the root logger, leaves a folder in the temporary directory, and reads its command
tables with a YAML parser written in Python: on a till's processor most of the time that a start
takes. They are JSON, and it takes them from a pickle where it finds one.
"""

import json
import logging
import pickle
import platform
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.resources import as_file, files
from os import environ
from pathlib import Path

PICKLE_FOLDER = "ESCPOS_CAPABILITIES_PICKLE_DIR"
TABLES_FILE = "ESCPOS_CAPABILITIES_FILE"
"""What somebody can have set for python-escpos; then it is as they want it."""


@contextmanager
def undisturbed() -> Generator[None]:
    """Within it python-escpos may be imported."""
    root = logging.getLogger()
    handlers, temporary = list(root.handlers), tempfile.tempdir
    is_ours = PICKLE_FOLDER not in environ and TABLES_FILE not in environ
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder  # it makes a folder there, whether it needs one or not
        if is_ours:
            _keep_tables(Path(folder))
            environ[PICKLE_FOLDER] = folder
        try:
            yield
        finally:
            tempfile.tempdir = temporary
            if is_ours:
                del environ[PICKLE_FOLDER]
            root.handlers[:] = handlers


def _keep_tables(folder: Path) -> None:
    with as_file(files("escpos").joinpath("capabilities.json")) as source:
        try:
            tables = json.loads(source.read_bytes())
        except ValueError:
            return  # YAML after all: it reads it itself
        kept = folder / f"{platform.python_version()}.capabilities.pickle"
        kept.write_bytes(pickle.dumps(tables))
        # Taken unless it is older; and a till's clock may be from before it was installed.
        shutil.copystat(source, kept)
