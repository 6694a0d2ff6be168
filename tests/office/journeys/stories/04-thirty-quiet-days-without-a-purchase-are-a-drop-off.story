# Rule 4. Counted against the last phase: here choosing, not looking.
> day 0 10:00 web_visit
> day 1 10:00 review_read
> day 32 10:00 web_visit
as of day 62
= trip 1, day 0: web_visit(orientation) review_read(consideration) -> dropped_off
= trip 2, day 32: web_visit(orientation) -> under_way
