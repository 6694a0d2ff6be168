"""What all pages share: templates, the security policy, the language, and what was asked for."""

from datetime import date, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import MediaType, Response

from sync_server.answers import AnyRequest, history_of, office_of
from sync_server.dashboard.api import models_of
from sync_server.dashboard.assets import asset_url, style_hashes
from sync_server.dashboard.choice import Chosen, chosen_by_default, narrowed_to, presets
from sync_server.dashboard.wording import LANGUAGES, Wording, choose_language, wording
from sync_server.errors import DatabaseError, OfficeError, Refused
from sync_server.journeys import service
from sync_server.journeys.model import Model, Trade
from sync_server.journeys.model_file import Models
from sync_server.journeys.narrowing import filters_of
from sync_server.journeys.rfm import RfmName
from sync_server.journeys.summary import Summary

POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {' '.join(style_hashes())}; "
    "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
ONE_DAY = timedelta(days=1)
_TEMPLATES = Environment(
    loader=PackageLoader("sync_server.dashboard"), autoescape=True, undefined=StrictUndefined
)


class Answer(NamedTuple):
    """The summary that a page's form asked for, or what is wrong with what was asked."""

    chosen: Chosen
    models: Models
    names: dict[str, str]
    """Store → its name."""
    form: dict[str, Any]
    """What the form shows."""
    summary: Summary | None = None
    problem: OfficeError | None = None

    def found(self) -> Summary:
        """The summary, where there is one."""
        if self.summary is None:
            raise ValueError("there is no summary")
        return self.summary

    def model_of(self, summary: Summary) -> Model:
        """The model of a summary."""
        return self.models[summary.model]

    def scope(self, words: Wording) -> str:
        """Days, stores, persons and model, in words."""
        summary = self.found()
        first, last = summary.first, summary.end - ONE_DAY
        days = (
            words.day(first) if first == last else words("scope_days", **span(first, last, words))
        )
        label = words.label(self.model_of(summary).label)
        return " · ".join((days, *narrowed_to(self.chosen, self.names, words), label))

    def data_url(self, path: str) -> str:
        """Where the same is as data."""
        summary = self.found()
        query: dict[str, Any] = {
            "model": summary.model,
            "trade": summary.trade,
            "from": summary.first,
            "to": summary.end,
            **self.chosen.filters(),
        }
        return f"{path}?{urlencode(query, doseq=True)}"


def answer_to(request: AnyRequest, asked: Chosen, path: str, words: Wording) -> Answer:
    """The summary that was asked for; by default of the last weeks recorded."""
    office = office_of(request)
    models = models_of(office)
    known = service.choices(office.database, office.now_ms())
    chosen = chosen_by_default(asked, known.recorded)
    found: Summary | None = None
    problem: OfficeError | None = None
    try:
        found = service.summary(
            office.database,
            service.choose_model(models, chosen.model),
            office.now_ms(),
            chosen.trade_known(),
            chosen.first_day(),
            chosen.end_day(),
            filters=filters_of(**chosen.filters()),
            history=history_of(request),
        )
    except DatabaseError:
        raise
    except OfficeError as error:
        problem = error
    else:
        chosen = chosen._replace(first=str(found.first), last=str(found.end - ONE_DAY))
    form = form_of(known, chosen, models, path, words)
    names = {store.store_id: store.name for store in known.stores}
    return Answer(chosen, models, names, form, found, problem)


def form_of(
    known: service.Choices, chosen: Chosen, models: Models, path: str, words: Wording
) -> dict[str, Any]:
    """What the form shows of what can be asked about, and of what was."""
    return {
        "action": path,
        "models": [models[name] for name in sorted(models)],
        "trades": list(Trade),
        "stores": known.stores,
        "groups": known.groups,
        "campaigns": sorted({*known.campaigns, chosen.campaign} - {""}),
        "segments": list(RfmName),
        "recorded": known.recorded,
        "chosen": chosen,
        "presets": presets(chosen, known.recorded, path, words),
    }


def span(first: date, last: date, words: Wording) -> dict[str, str]:
    """The first and the last day of a period in words, both included."""
    return {"first": words.day(first), "last": words.day(last)}


def words_of(request: AnyRequest, lang: str) -> Wording:
    return wording(choose_language(lang, request.headers.get("accept-language", "")))


def render(
    request: AnyRequest,
    template: str,
    words: Wording,
    problem: OfficeError | None = None,
    **context: Any,
) -> Response[str]:
    """A page in the reader's language; with a problem, under the status that says so."""
    other = next(language for language in LANGUAGES if language != words.language)
    asked = {**dict(request.query_params.items()), "lang": other}
    html = _TEMPLATES.get_template(template).render(
        words=words,
        problem=problem and words.problem(problem),
        asset_url=asset_url,
        other_language=other,
        other_language_url=f"{request.url.path}?{urlencode(asked)}",
        **context,
    )
    status = 200 if problem is None else problem.status if isinstance(problem, Refused) else 400
    headers = {"Content-Security-Policy": POLICY, "Content-Language": words.language}
    return Response(html, status_code=status, media_type=MediaType.HTML, headers=headers)
