"""Documents over channels of text: what is refused, where, and that the stream goes on."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import msgspec
import pydantic
import pytest

from cwschannel import StreamChannelController, json_document, msgspec_document, pydantic_document


class Ends:
    """A channel with a codec, and the bare text at its far end."""

    def __init__(self, codec: Any) -> None:
        pair: StreamChannelController[Any] = StreamChannelController()
        self.far = pair.foreign
        self.channel = pair.local.transform(codec)

    async def written(self, document: Any) -> str:
        self.channel.sink.add(document)
        return await self.far.stream.first()

    async def read(self, text: Any) -> Any:
        self.far.sink.add(text)
        return await self.channel.stream.first()


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ([0, "x"], '[0,"x"]'),
        ({"ü": None, "b": [True, 1.5]}, '{"ü":null,"b":[true,1.5]}'),
        (10**300, "1" + "0" * 300),
        ("", '""'),
        ("\u2028\x00", '"\u2028\\u0000"'),
    ],
)
async def test_json_both_ways(document: Any, text: str) -> None:
    ends = Ends(json_document)
    assert await ends.written(document) == text
    assert await ends.read(text) == document
    assert await ends.read(text.encode()) == document


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "nul", "'a'", "[1,]", "NaN", "[Infinity]", "-Infinity", '{"a":1} x', "\ufeff1", "01"),
        *("[" * 200_000, '{"a":' * 200_000, "1" * 5000, b"\xff", '"a"'.encode("utf-16"), b"\xef\xbb\xbf1"),
    ],
    ids=lambda text: repr(text)[:20],
)
async def test_what_is_no_json_is_an_error_in_its_place_and_the_stream_goes_on(text: Any) -> None:
    ends = Ends(json_document)
    ends.far.sink.add("1")
    ends.far.sink.add(text)
    ends.far.sink.add("2")
    assert await ends.channel.stream.first() == 1
    with pytest.raises(ValueError):
        await ends.channel.stream.first()
    assert await ends.channel.stream.first() == 2


def nested() -> list[Any]:
    document: list[Any] = []
    for _ in range(200_000):
        document = [document]
    return document


def circular() -> list[Any]:
    document: list[Any] = []
    document.append(document)
    return document


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: float("nan"), ValueError),
        (lambda: {"a": [float("inf")]}, ValueError),
        (nested, ValueError),
        (circular, ValueError),
        (lambda: {1, 2}, TypeError),
        (lambda: b"bytes", TypeError),
        (lambda: {(1, 2): 3}, TypeError),
        (lambda: 10**5000, ValueError),
    ],
)
async def test_what_json_cannot_say_is_refused_and_nothing_is_sent(make: Any, error: type[Exception]) -> None:
    ends = Ends(json_document)
    with pytest.raises(error):
        ends.channel.sink.add(make())
    assert await ends.written("next") == '"next"'


async def test_lone_surrogates_pass_as_escapes_and_are_no_text() -> None:
    assert await Ends(json_document).read('"\\ud800"') == "\ud800"


class Point(msgspec.Struct):
    x: int
    y: int = 0


async def test_msgspec_documents() -> None:
    ends = Ends(msgspec_document(Point))
    assert await ends.written(Point(1)) == '{"x":1,"y":0}'
    assert await ends.read('{"x":5}') == Point(5)
    for wrong in ('{"x":"a"}', "{}", "no JSON", "[" * 100_000):
        with pytest.raises((msgspec.DecodeError, RecursionError)):
            await ends.read(wrong)
    assert await ends.read('{"x":6}') == Point(6)
    with pytest.raises(TypeError):
        ends.channel.sink.add(object())


class Model(pydantic.BaseModel):
    name: str
    numbers: list[int] = []


@dataclass
class Plain:
    a: int


async def test_pydantic_documents() -> None:
    ends = Ends(pydantic_document(Model))
    assert await ends.written(Model(name="ü")) == '{"name":"ü","numbers":[]}'
    assert await ends.read('{"name":"a","numbers":["5"]}') == Model(name="a", numbers=[5])
    for wrong in ("{}", "no JSON", '{"name":1}', "[" * 100_000):
        with pytest.raises(pydantic.ValidationError):
            await ends.read(wrong)
    assert await ends.read('{"name":"b"}') == Model(name="b")
    for bad in (5, {"name": 1}, Plain(1)):
        with pytest.raises(ValueError):
            ends.channel.sink.add(bad)
    assert await ends.written(Model(name="next")) == '{"name":"next","numbers":[]}'


async def test_pydantic_knows_dataclasses_and_unions() -> None:
    assert await Ends(pydantic_document(Plain)).read('{"a":1}') == Plain(1)
    assert await Ends(pydantic_document(list[int])).written([1, 2]) == "[1,2]"


@pytest.mark.parametrize("name", ["msgspec", "pydantic"])
def test_a_missing_package_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(wanted: str, *arguments: Any) -> Any:
        if wanted == name:
            raise ModuleNotFoundError(f"No module named {wanted!r}", name=wanted)
        return real(wanted, *arguments)

    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", missing)
    make = {"msgspec": msgspec_document, "pydantic": pydantic_document}[name]
    with pytest.raises(ModuleNotFoundError, match=rf"{name}_document\(\) needs .*pip install 'cwschannel\[{name}\]'"):
        make(int)
