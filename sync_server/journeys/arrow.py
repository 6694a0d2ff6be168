"""pyarrow, for columns on disk: not needed for anything else.

As `Any`: what its type stubs say of compute functions and buffers does not hold.
"""

from importlib import import_module
from typing import Any

from sync_server.errors import OfficeError

try:
    pa: Any = import_module("pyarrow")
    pc: Any = import_module("pyarrow.compute")
    pq: Any = import_module("pyarrow.parquet")
    pafs: Any = import_module("pyarrow.fs")
except ModuleNotFoundError as error:
    raise OfficeError(
        "pyarrow",
        "Columns on disk need pyarrow, which is not installed.",
        "Install it: pip install pyarrow",
    ) from error
