"""History: all touchpoints as columns, in files by person and in memory what changed since.

Standing summaries follow it; docs/journeys.md shows the flow.
"""
