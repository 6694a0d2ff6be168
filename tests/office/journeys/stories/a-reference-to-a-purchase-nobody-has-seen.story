# The till with the purchase is still away: the return stands alone until it comes back.
> day 0 10:00 return receipt=LATER
as of day 1
= trip 1, day 0: return(service) -> under_way
