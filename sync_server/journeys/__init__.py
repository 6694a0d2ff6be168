"""Journeys: touchpoints in, trips and figures out.

The fold (`trips`) and the figures (`summary`) are pure; `columns` reads the database, `service`
puts the two together.
"""
