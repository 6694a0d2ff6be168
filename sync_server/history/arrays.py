"""NumPy, as `Any`: what its type stubs say of arrays of unknown kinds differs by version."""

from importlib import import_module
from typing import Any

np: Any = import_module("numpy")

Array = Any
"""A NumPy array of one dimension."""
