# Rule 9. The enrolment is a touchpoint, right before the purchase.
> day 0 09:58 enrolment
> day 0 10:00 purchase receipt=A
as of day 1
= trip 1, day 0: enrolment(orientation) purchase(purchase) -> not_back_yet, first
