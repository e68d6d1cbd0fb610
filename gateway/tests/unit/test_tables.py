import asyncio
import csv
import io
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from bourse.market.v1 import indices_pb2
from gateway.models.indices import ConstituentPrice
from gateway.reply import CamelReply
from gateway.tables import FORMULA_STARTS, csv_answer


class Line(CamelReply):
    company_name: str | None
    change: float | None = None
    count: int | None = None
    is_open: bool | None = None
    as_of: Annotated[str | None, Field(serialization_alias="as_of")] = None


def text_of(*rows: Any) -> str:
    return bytes(asyncio.run(csv_answer(Line, rows)).body).decode()


def test_the_first_line_has_the_json_names_and_lines_end_as_rfc_4180_says() -> None:
    assert text_of() == "companyName,change,count,isOpen,as_of\r\n"


def test_it_says_what_it_is() -> None:
    answer = asyncio.run(csv_answer(Line, [], {"X-Source": "yahoo"}))

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["x-source"] == "yahoo"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_what_a_spreadsheet_would_run_is_text(start: str) -> None:
    (_, line) = csv.reader(io.StringIO(text_of(Line(company_name=f"{start}1+1")), newline=""))

    assert line[0] == f"'{start}1+1"


def test_a_negative_number_stays_a_number_and_a_text_that_looks_like_one_stays_text() -> None:
    (_, line) = csv.reader(io.StringIO(text_of(Line(company_name="-1.25", change=-1.25, count=-3)), newline=""))

    assert line == ["'-1.25", "-1.25", "-3", "", ""]


def test_unknown_is_empty_and_zero_is_not() -> None:
    assert text_of(Line(company_name=None, change=0.0, count=0, is_open=False)).splitlines()[1] == ",0.0,0,false,"
    assert text_of(Line(company_name="", is_open=True)).splitlines()[1] == ",,,true,"


def test_commas_quotes_and_line_breaks_are_quoted() -> None:
    assert text_of(Line(company_name='A "B", C\nD')).endswith('"A ""B"", C\nD",,,,\r\n')


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_every_text_comes_back_as_it_was_or_behind_an_apostrophe(names: list[str]) -> None:
    rows = list(csv.reader(io.StringIO(text_of(*(Line(company_name=name) for name in names)), newline="")))[1:]

    for name, row in zip(names, rows, strict=True):
        assert row[0] == (f"'{name}" if name.startswith(FORMULA_STARTS) else name)
        assert len(row) == 5


def test_rows_are_read_from_messages() -> None:
    price = indices_pb2.ConstituentPrice(constituent=indices_pb2.Constituent(symbol="A", name="B"), price=1.5)

    body = bytes(asyncio.run(csv_answer(ConstituentPrice, [price])).body).decode()

    assert body.splitlines()[1] == "A,B,1.5,,,,,,"
