"""Touchpoints of other systems: taken, linked to a person, and put beside those of the tills."""
