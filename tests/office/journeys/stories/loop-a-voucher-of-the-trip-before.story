# A loop: trip 2 redeems what trip 1 printed; the same sale, so its purchase is loyalty.
> day 0 10:00 purchase receipt=A
> day 0 10:01 voucher_issued receipt=A voucher=V
> day 9 10:00 purchase receipt=B event=9
> day 9 10:00 voucher_redeemed receipt=B cause=A voucher=V event=9
as of day 10
= trip 1, day 0: purchase(purchase) voucher_issued(purchase) -> next_trip, first unknown
= trip 2, day 9: purchase(loyalty) voucher_redeemed(loyalty) -> not_back_yet, repeat after 9 days, loop of 1
