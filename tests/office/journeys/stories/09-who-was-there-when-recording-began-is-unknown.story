# Rule 9. Recording began 59 days before: they may have been a customer long before that.
> day 0 10:00 purchase receipt=A
recording began day -59
as of day 1
= trip 1, day 0: purchase(purchase) -> not_back_yet, first unknown
