# Rule 4. "Now" is an argument.
> day 0 10:00 web_visit
as of day 31
= trip 1, day 0: web_visit(orientation) -> dropped_off
