"""What is written about markets and companies, as clients see it."""

from gateway.reply import (
    CamelReply,
    DateTime,
    example,
)


class Article(CamelReply):
    """An article or a press release; `symbol` is null where it is about no one instrument."""

    model_config = example(
        symbol="AAPL",
        publishedDate="2026-04-07T13:31:00Z",
        publisher="News",
        title="Apple shows a new computer",
        image="https://news.example/apple.jpg",
        site="news.example",
        text="The company showed a new computer on Tuesday.",
        url="https://news.example/apple",
    )

    symbol: str | None
    published_date: DateTime
    publisher: str | None
    title: str
    image: str | None
    site: str | None
    text: str | None
    url: str
