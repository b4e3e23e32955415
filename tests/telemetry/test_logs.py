"""One record, one line, whatever it holds."""

from __future__ import annotations

import io
import json
import logging
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.logs import HumanFormatter, JsonFormatter, configure, printable, redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOSTILE = {
    "CR": "a\rb",
    "LF": 'a\n{"level":"CRITICAL"}',
    "CRLF": "a\r\nb",
    "ESC": "a\x1b[2J\x1b[31mb",
    "NUL": "a\x00b",
    "BEL": "a\x07b",
    "CSI of eight bits": "a\x9b31mb",
    "NEL": "a\x85b",
    "U+2028": "a\u2028b",
    "U+2029": "a\u2029b",
    "right to left": "a\u202eb",
    "half a character": "a\ud800b",
    "quotes": 'a"\\"b',
    "percent": "a%s%db",
}

FIELDS = ("request_id", "model", "version", "rule")


def record(message: str = "hello", *args: object, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "gateway.test", "levelname": "INFO", "msg": message, "args": args})
    made.__dict__.update(extra)
    return made


def failed(text: str) -> logging.LogRecord:
    made = record()
    try:
        raise ValueError(text)
    except ValueError as exc:
        made.exc_info = (type(exc), exc, exc.__traceback__)
    return made


def in_json(made: logging.LogRecord) -> dict[str, Any]:
    line = JsonFormatter().format(made)
    assert line.isascii()
    assert line.isprintable()
    parsed = json.loads(line)
    assert isinstance(parsed, dict)
    return parsed


def in_message(text: str) -> logging.LogRecord:
    return record(text)


def in_argument(text: str) -> logging.LogRecord:
    return record("%s", text)


def in_logger(text: str) -> logging.LogRecord:
    return record(name=text)


def in_field(text: str) -> logging.LogRecord:
    return record(**dict.fromkeys(FIELDS, text))


def in_field_name(text: str) -> logging.LogRecord:
    return record(**{text: "x"})


def in_object(text: str) -> logging.LogRecord:
    return record(model=ValueError(text), version=[text])


PLACES = [in_message, in_argument, in_logger, in_field, in_field_name, in_object, failed]


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("place", PLACES)
def test_no_text_in_any_place_breaks_out_of_its_json_line(
    place: Callable[[str], logging.LogRecord], hostile: str
) -> None:
    parsed = in_json(place(hostile))

    assert parsed["level"] == "INFO"
    assert json.dumps(hostile)[1:-1] in json.dumps(parsed)


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("place", PLACES)
def test_no_text_in_any_place_steers_a_terminal(place: Callable[[str], logging.LogRecord], hostile: str) -> None:
    first, *below = HumanFormatter().format(place(hostile)).split("\n")

    assert first.isprintable()
    assert all(line.startswith("    ") and line.isprintable() for line in below)
    assert bool(below) == (place is failed)


@given(st.text())
def test_any_text_comes_back_out_of_a_json_line(text: str) -> None:
    made = record("%s", text, request_id=text)

    parsed = in_json(made)

    assert parsed["message"] == redacted(text)
    assert parsed["request_id"] == redacted(text)


@given(st.text())
def test_printable_text_is_printable_and_otherwise_unchanged(text: str) -> None:
    assert printable(text).isprintable()
    assert not text.isprintable() or printable(text) == text


def test_a_line_says_when_where_and_what() -> None:
    made = record("loaded in %d ms", 12, created=1_700_000_000.123, msecs=123.0, process=42, model="fraud", version=2)

    assert in_json(made) == {
        "time": "2023-11-14T22:13:20.123Z",
        "level": "INFO",
        "logger": "gateway.test",
        "message": "loaded in 12 ms",
        "pid": 42,
        "model": "fraud",
        "version": 2,
    }


def test_the_short_form_says_the_same_on_one_line() -> None:
    made = record("loaded", created=1_700_000_000.123, msecs=123.0, model="fraud", version=2)

    assert HumanFormatter().format(made) == "22:13:20.123 INFO    gateway.test: loaded model=fraud version=2"


def test_an_exception_is_a_field_of_the_line() -> None:
    parsed = in_json(failed("boom"))

    assert parsed["traceback"].startswith("Traceback (most recent call last):")
    assert parsed["traceback"].endswith("ValueError: boom")


def test_a_field_cannot_pose_as_one_of_the_lines_own() -> None:
    parsed = in_json(record("hello", level="CRITICAL", time="never", pid=0, traceback="none", logger="root"))

    assert (parsed["level"], parsed["logger"]) == ("INFO", "gateway.test")
    assert parsed["time"] != "never"
    assert "traceback" not in parsed


def test_a_message_whose_arguments_do_not_fit_is_shown_all_the_same() -> None:
    assert in_json(record("%d of %d", "one"))["message"] == "%d of %d ('one',)"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_lacks_is_text(number: float) -> None:
    assert in_json(record(version=number))["version"] == str(number)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://alice:s3cret@store:6379/0", "redis://alice:***@store:6379/0"),
        ("rediss://:s3cret@store", "rediss://:***@store"),
        ("REDIS://alice:s3cret@store", "REDIS://alice:***@store"),
        ("valkey://alice:s3cret@store", "valkey://alice:***@store"),
        ("unix://alice:s3cret@/run/store.sock", "unix://alice:***@/run/store.sock"),
        ("redis+sentinel://alice:s3cret@store", "redis+sentinel://alice:***@store"),
        ("redis://alice:s3cret@with/at@store", "redis://alice:***@store"),
        ("from redis://a:s3cret@b to redis://c:s3cret@d.", "from redis://a:***@b to redis://c:***@d."),
        ("redis://store:6379/0 asked by alice@home", "redis://store:6379/0 asked by alice@home"),
        ("redis://alice@store", "redis://alice@store"),
        ("http://store:80/a@b", "http://store:80/a@b"),
    ],
)
def test_passwords_in_store_urls_are_hidden(text: str, shown: str) -> None:
    assert redacted(text) == shown


SECRET = "redis://alice:s3cret@store"


@pytest.mark.parametrize("place", [in_message, in_argument, in_field, in_object, failed])
@pytest.mark.parametrize("formatter", [JsonFormatter(), HumanFormatter()])
def test_a_password_shows_in_no_place_of_a_line(
    place: Callable[[str], logging.LogRecord], formatter: logging.Formatter
) -> None:
    line = formatter.format(place(SECRET))

    assert "redis://alice:***@store" in line
    assert "s3cret" not in line


LOGGERS = ("", "uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A stream to configure logging for; afterwards all loggers are as they were."""
    saved = [
        (logger, logger.level, logger.propagate, list(logger.handlers)) for logger in map(logging.getLogger, LOGGERS)
    ]
    yield io.StringIO()
    logging.captureWarnings(capture=False)
    for logger, level, propagate, handlers in saved:
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers[:] = handlers


def test_every_logger_writes_json_lines_at_its_level_and_above(stream: io.StringIO) -> None:
    configure("info", human=False, stream=stream)

    logging.getLogger("gateway.serving").info("one", extra={"request_id": "r1"})
    logging.getLogger("gateway.serving").debug("too quiet")
    logging.getLogger("uvicorn.error").warning("two")

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["logger"], line["message"]) for line in lines] == [
        ("gateway.serving", "one"),
        ("uvicorn.error", "two"),
    ]
    assert lines[0]["request_id"] == "r1"


def test_requests_are_not_logged(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.access").addHandler(logging.StreamHandler(stream))

    configure("debug", human=False, stream=stream)
    logging.getLogger("uvicorn.access").info("GET /")

    assert stream.getvalue() == ""
    assert not logging.getLogger("uvicorn.access").hasHandlers()


def test_warnings_are_json_lines_too(stream: io.StringIO) -> None:
    configure("info", human=False, stream=stream)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old\nways", stacklevel=1)

    [line] = stream.getvalue().splitlines()
    assert "old\nways" in json.loads(line)["message"]


def test_a_terminal_gets_the_short_form(stream: io.StringIO) -> None:
    configure("INFO", human=True, stream=stream)

    logging.getLogger("gateway").info("hello")

    assert stream.getvalue().endswith("INFO    gateway: hello\n")


def test_an_unknown_level_is_refused(stream: io.StringIO) -> None:
    with pytest.raises(ValueError, match="LOUD"):
        configure("loud", human=False, stream=stream)
