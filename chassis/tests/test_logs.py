import json
import logging

import pytest

from chassis.logs import configure_logging, redact, request_id


@pytest.fixture(autouse=True)
def restored_handlers() -> object:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    "text",
    [
        "GET /x?api_key=HIDDEN&y=1",
        'body {"password": "HIDDEN"}',
        "Authorization: Bearer HIDDEN",
        "redis://:HIDDEN@127.0.0.1/0".replace("//:", "//user:"),
        "request_token='HIDDEN'",
        "token eyJHIDDEN.eyJHIDDEN.HIDDEN",
        "nats://HIDDEN@127.0.0.1:4222",
        "nats://user:HIDDEN,HIDDEN@127.0.0.1:4222,nats://user:HIDDEN@127.0.0.2:4222",
        "nats://user:HIDDEN@127.0.0.1:4222,user:HIDDEN@127.0.0.2:4222",
        "nats://127.0.0.1:4222,nats://user:HIDDEN@127.0.0.2:4222",
        "postgresql://user:HIDDEN/HIDDEN@127.0.0.1/auth",
        "ICICI_ADMIN_SECRET=HIDDEN",
        "{'new_password': 'HIDDEN and \\'HIDDEN'}",
        "Cookie: access_token_cookie=HIDDEN; theme=dark",
        'cut off: {"password": "HIDDEN',
    ],
)
def test_what_looks_like_a_credential_is_not_written(text: str) -> None:
    assert "HIDDEN" not in redact(text)
    assert "[redacted]" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "checked 3 tokens for NSE:TCS at 12:30:00",
        "http://127.0.0.1:8000/api/alerts/me?price=1",
        "mail to a@example.com was sent",
    ],
)
def test_plain_words_stay(text: str) -> None:
    assert redact(text) == text


def test_a_json_record_stays_one_without_the_secrets_it_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("market", style="json", level="INFO")
    upstream = '{"password": "HIDDEN words", "page": 3}'
    logging.getLogger("x").info("answered %s", upstream, extra={"body": {"api_secret": 'HIDDEN"HIDDEN', "page": 4}})
    written = capsys.readouterr().err
    assert "HIDDEN" not in written
    record = json.loads(written)
    assert record["message"] == 'answered {"password": "[redacted]", "page": 3}'
    assert record["body"] == {"api_secret": "[redacted]", "page": 4}


def test_a_json_record_carries_request_id_service_and_extras(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("market", style="json", level="INFO")
    token = request_id.set("r-1")
    logging.getLogger("x").info("session activated", extra={"broker": "zerodha"})
    request_id.reset(token)
    record = json.loads(capsys.readouterr().err)
    assert record["message"] == "session activated"
    assert (record["request_id"], record["service"], record["broker"]) == ("r-1", "market", "zerodha")


def test_a_secret_in_an_exception_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("market", style="console", level="INFO")
    try:
        raise ValueError("refused: api_secret=HIDDEN")
    except ValueError:
        logging.getLogger("x").exception("call failed", extra={"attempt": 2})
    written = capsys.readouterr().err
    assert "HIDDEN" not in written
    assert "call failed attempt=2" in written
    assert "ValueError" in written
