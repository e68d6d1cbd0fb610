"""News and press releases."""

from collections.abc import Sequence

from fastapi import APIRouter

from bourse.market.v1 import news_pb2 as pb
from bourse.market.v1 import quotes_pb2
from gateway.bodies import StrictRoute
from gateway.clients import News
from gateway.errors import documented
from gateway.http_cache import CACHED
from gateway.market_params import Limit, Page, Stocks
from gateway.models.news import Article
from gateway.origin import MISSING_HEADERS, ORIGIN_HEADERS, Headers, answered
from gateway.reply import read_in_turns

router = APIRouter(prefix="/api/news", tags=["news"], route_class=StrictRoute)

DEFAULT_ARTICLES = 20
ARRAY = {**answered(ORIGIN_HEADERS), **documented(400, 429, 503, 504)}
GROUPED = {**answered(ORIGIN_HEADERS, MISSING_HEADERS), **documented(400, 404, 414, 429, 503, 504)}


@router.get("/latest", response_model=list[Article], responses=ARRAY, **CACHED)
async def list_latest_news(
    news: News, headers: Headers, page: Page = 0, limit: Limit = DEFAULT_ARTICLES
) -> Sequence[pb.Article]:
    """The latest news, newest first."""
    reply = await news.ListLatestNews(pb.ListLatestNewsRequest(page=page, limit=limit))
    headers.tell_origin(reply.provenance)
    return reply.articles


@router.get("/press-releases", response_model=list[Article], responses=ARRAY, **CACHED)
async def list_press_releases(
    news: News, headers: Headers, page: Page = 0, limit: Limit = DEFAULT_ARTICLES
) -> Sequence[pb.Article]:
    """The latest press releases, newest first."""
    reply = await news.ListPressReleases(pb.ListPressReleasesRequest(page=page, limit=limit))
    headers.tell_origin(reply.provenance)
    return reply.articles


@router.get("/stock/{symbols}", response_model=list[Article], responses=GROUPED, **CACHED)
async def list_stock_news(
    symbols: Stocks, *, news: News, headers: Headers, page: Page = 0, limit: Limit = DEFAULT_ARTICLES
) -> Sequence[Article]:
    """The latest news of up to 50 shares: `limit` of the first, newest first, then of the next."""
    request = pb.ListStockNewsRequest(symbols=symbols, listing=quotes_pb2.LISTING_UNITED_STATES, page=page, limit=limit)
    reply = await news.ListStockNews(request)
    headers.tell_origin(reply.provenance)
    headers.tell_missing(reply.missing)
    return await read_in_turns(Article, reply.articles)
