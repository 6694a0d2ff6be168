# Rule 1. No trip is open: any touchpoint opens one, whatever its kind.
> day 0 10:00 complaint
as of day 3
= trip 1, day 0: complaint(service) -> under_way
