# Rule 2. The paper of A's voucher is confirmed while the customer already looks again.
> day 0 10:00 purchase receipt=A
> day 0 10:01 web_visit
> day 0 10:02 voucher_issued receipt=A
as of day 1
= trip 1, day 0: purchase(purchase) voucher_issued(purchase) -> next_trip, first unknown
= trip 2, day 0: web_visit(orientation) -> under_way
