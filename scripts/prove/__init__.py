"""Proofs: each shows that a law holds under faults."""
