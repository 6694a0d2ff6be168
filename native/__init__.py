"""Compiled code, each part with a plain-Python reference and a benchmark that gives its reason."""
