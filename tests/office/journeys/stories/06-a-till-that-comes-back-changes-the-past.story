# Rule 6. The purchase of day 2 arrives last, from a till that was away, and the web visit that
# had looked like a drop-off has led to it.
> day 0 10:00 web_visit
> day 40 10:00 web_visit
> day 2 10:00 purchase receipt=A till=away
as of day 41
= trip 1, day 0: web_visit(orientation) purchase(purchase) -> next_trip, first unknown
= trip 2, day 40: web_visit(orientation) -> under_way
