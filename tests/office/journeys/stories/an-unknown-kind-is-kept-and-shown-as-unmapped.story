# It opens a trip like any other, and reaches no phase.
> day 0 10:00 hologram_wave
> day 1 10:00 purchase receipt=A
as of day 2
= trip 1, day 0: hologram_wave(-) purchase(purchase) -> not_back_yet, first unknown
