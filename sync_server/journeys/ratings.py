"""What customers say: the net promoter score, and the emotion curve. Pure."""

from math import sqrt

from msgspec import Struct

from sync_server.journeys.intervals import Interval, share_interval
from sync_server.journeys.model import Model
from sync_server.journeys.tally import UNMAPPED, Counts, JourneyTally
from sync_server.journeys.ways import phase_name

PROMOTER_MIN, DETRACTOR_MAX = 9, 6
Z_95 = 1.959964
"""The 97.5th percentile of the standard normal distribution."""


class Nps(Struct, frozen=True):
    """Answers of 0 to 10 to the question whether they would recommend the shop, and the score.

    The score is the share of promoters (9, 10) less that of detractors (0 to 6), times 100. The
    interval is the normal one of 95 % for a mean of answers that count 1, 0 and -1.
    """

    answers: int
    promoters: int
    detractors: int
    score: float
    low: float
    high: float


class Responses(Struct, frozen=True):
    """How many customers say something: trips with a purchase in which they answered a question."""

    trips: int
    """The period's trips with a purchase."""
    answered: int
    """Of those, the ones with a rating or an NPS answer up to the summary's day."""
    share: float
    """0 to 1."""
    interval: Interval | None
    """Wilson's, of 95 %."""


class Emotion(Struct, frozen=True):
    """Ratings of 1 to 5 by the phase that the trip had reached when they were given."""

    phase: str
    """A phase, or "unmapped": given before any."""
    ratings: int
    mean: float


def nps_of(answers: Counts) -> Nps | None:
    """The net promoter score of answer → count; None without answers."""
    count = sum(answers.values())
    if not count:
        return None
    promoters = sum(n for answer, n in answers.items() if answer >= PROMOTER_MIN)
    detractors = sum(n for answer, n in answers.items() if answer <= DETRACTOR_MAX)
    score = (promoters - detractors) / count
    variance = (promoters + detractors) / count - score**2
    half = Z_95 * sqrt(max(0.0, variance) / count)
    return Nps(
        answers=count,
        promoters=promoters,
        detractors=detractors,
        score=round(100 * score, 1),
        low=round(100 * max(-1.0, score - half), 1),
        high=round(100 * min(1.0, score + half), 1),
    )


def responses_of(journeys: JourneyTally) -> Responses | None:
    """The share of trips with an answer; None without a trip with a purchase."""
    if not journeys.bought:
        return None
    share = round(journeys.answered / journeys.bought, 6)
    interval = share_interval(journeys.answered, journeys.bought)
    return Responses(journeys.bought, journeys.answered, share, interval)


def emotions_of(model: Model, journeys: JourneyTally) -> tuple[Emotion, ...]:
    """The mean rating by phase, in the order of the phases."""
    found: dict[int, tuple[int, int]] = {}
    for (phase, rating), count in journeys.ratings.items():
        ratings, total = found.get(phase, (0, 0))
        found[phase] = (ratings + count, total + count * rating)
    return tuple(
        Emotion(phase_name(model, phase, UNMAPPED), ratings, round(total / ratings, 3))
        for phase, (ratings, total) in sorted(found.items())
    )
