# Rule 4. Quiet for 30 days, not for more: the trip goes on and ends in a purchase.
> day 0 10:00 web_visit
> day 30 10:00 web_visit
> day 60 10:00 purchase receipt=A
as of day 61
recording began day -100
= trip 1, day 0: web_visit(orientation) web_visit(orientation) purchase(purchase) -> not_back_yet, first
