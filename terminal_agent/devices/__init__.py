"""Devices as pure state machines: bytes and the time go in, what happened comes out."""
