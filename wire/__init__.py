"""What till and office say to each other, and nothing else.

Imports neither side. Everything here is data and pure functions: events, batches, the feed,
voucher tokens, identifiers, the canonical text of signed requests.
"""
