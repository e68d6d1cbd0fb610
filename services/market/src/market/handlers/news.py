"""The news service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.market.v1 import news_pb2, news_pb2_grpc
from chassis.clock import Clock
from market.domain.news_desk import NewsDesk
from market.handlers import serving, serving_until
from market.messages.instruments import listing_of
from market.messages.news import latest_news_message, press_releases_message, stock_news_message

Context = ServicerContext[Any, Any]


class NewsService(news_pb2_grpc.NewsServiceServicer):
    """Answers what was published lately."""

    def __init__(self, desk: NewsDesk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock

    async def ListLatestNews(  # the contract's name
        self, request: news_pb2.ListLatestNewsRequest, context: Context
    ) -> news_pb2.ListLatestNewsResponse:
        """List the latest news."""
        answer = await self._desk.latest(page=request.page, limit=request.limit)
        await context.send_initial_metadata(serving(answer, self._clock.now()))
        return latest_news_message(answer)

    async def ListPressReleases(  # the contract's name
        self, request: news_pb2.ListPressReleasesRequest, context: Context
    ) -> news_pb2.ListPressReleasesResponse:
        """List the latest press releases."""
        answer = await self._desk.press_releases(page=request.page, limit=request.limit)
        await context.send_initial_metadata(serving(answer, self._clock.now()))
        return press_releases_message(answer)

    async def ListStockNews(  # the contract's name
        self, request: news_pb2.ListStockNewsRequest, context: Context
    ) -> news_pb2.ListStockNewsResponse:
        """List the latest news of up to 50 instruments."""
        answer = await self._desk.of_stocks(
            request.symbols, listing_of(request.listing), page=request.page, limit=request.limit
        )
        moments = [each.value.serves_until for each in answer.found]
        await context.send_initial_metadata(serving_until(moments, self._clock.now()))
        return stock_news_message(answer)
