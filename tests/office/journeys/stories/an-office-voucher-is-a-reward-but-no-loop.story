# Nobody's earlier trip caused it; using a reward is loyalty all the same.
> day 0 10:00 purchase receipt=A event=1
> day 0 10:00 voucher_redeemed receipt=A voucher=V event=1
as of day 1
= trip 1, day 0: purchase(purchase) voucher_redeemed(loyalty) -> not_back_yet, first unknown
