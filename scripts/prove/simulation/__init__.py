"""Tills, network and office as one seeded, single-threaded simulation over the real code.

`world` has the time and the order of things, `disk` what may go wrong under a database, `network`
what may go wrong between, `till` and `office` the two sides, `laws` what must hold. One `run` is
one small history of a shop; its number and the seed say all of it.
"""
