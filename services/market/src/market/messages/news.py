"""What is written about markets and companies."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

from bourse.market.v1 import news_pb2
from market.domain.answers import Answer
from market.domain.news import Article
from market.domain.news_desk import Articles, StockNewsAnswer
from market.domain.quotes import Freshness, Provenance
from market.messages.provenance import moment_text, provenance_message
from market.messages.quotes import missing_messages


def latest_news_message(answer: Answer[Articles]) -> news_pb2.ListLatestNewsResponse:
    """Answer with news."""
    return news_pb2.ListLatestNewsResponse(
        articles=map(_article, answer.value), provenance=provenance_message(answer.provenance)
    )


def press_releases_message(answer: Answer[Articles]) -> news_pb2.ListPressReleasesResponse:
    """Answer with press releases."""
    return news_pb2.ListPressReleasesResponse(
        articles=map(_article, answer.value), provenance=provenance_message(answer.provenance)
    )


def stock_news_message(answer: StockNewsAnswer) -> news_pb2.ListStockNewsResponse:
    """Answer with news of instruments, each under the symbol the caller wrote; the weakest provenance is told."""
    return news_pb2.ListStockNewsResponse(
        articles=[_article(article, each.symbol) for each in answer.found for article in each.value.value],
        missing=missing_messages(answer.missing),
        provenance=provenance_message(weakest(each.value.provenance for each in answer.found)),
    )


def weakest(provenances: Iterable[Provenance]) -> Provenance | None:
    """Return what can be said of several answers as one: stale when one is, and as old as the oldest; None of none."""
    told = list(provenances)
    if not told:
        return None
    sources = ",".join(dict.fromkeys(each.source for each in told))
    stale = [each for each in told if each.freshness is Freshness.STALE]
    freshness = Freshness.STALE if stale else told[0].freshness
    return Provenance(sources, min(each.as_of for each in told), freshness)


def _article(article: Article, symbol: str | None = None) -> news_pb2.Article:
    said = asdict(article)
    published_at: datetime = said.pop("published_at")
    if symbol is not None:
        said["symbol"] = symbol
    return news_pb2.Article(published_date=moment_text(published_at), **said)
