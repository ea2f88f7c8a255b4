"""Blocking channels of documents."""

from __future__ import annotations

from typing import Any, assert_type

import pytest

import cwschannel
from cwschannel import ChannelStateError, ConnectionClosed, StreamChannelTransformer, json_document
from cwschannel.sync import TransformedSocketChannel

from .blocking import Task, _nothing_is_left, connected, logs

__all__ = ["_nothing_is_left", "logs"]

HEXADECIMAL = StreamChannelTransformer.from_codec(hex, lambda text: int(text, 16))


def test_documents_go_both_ways() -> None:
    with connected() as pair:
        near, far = pair.client.transform(json_document), pair.server.transform(json_document)
        near.send({"a": [1, None]})
        near.sink.add("text")
        near.sink.add_stream([1.5, True])
        assert far.recv() == {"a": [1, None]}
        assert [far.recv(timeout=20) for _ in range(3)] == ["text", 1.5, True]
        reading = Task(lambda: list(far))
        near.sink.close(4000, "enough")
        with pytest.raises(ConnectionClosed, match="4000"):
            reading.result()
        assert (near.close_code, near.close_reason) == (4000, "enough")
        assert far.sink.wait_done(20)
        assert far.sink.done


def test_what_cannot_be_decoded_raises_in_its_place_and_loses_nothing() -> None:
    with connected() as pair:
        channel = pair.client.transform(json_document)
        for text in ("[1]", "no JSON", "[2]", "NaN", "[3]"):
            pair.server.send(text)
        stream = iter(channel.stream)
        assert next(stream) == [1]
        with pytest.raises(ValueError, match="Expecting value"):
            next(stream)
        assert channel.recv(timeout=20) == [2]
        with pytest.raises(ValueError, match="NaN"):
            channel.recv(timeout=20)
        assert next(iter(channel)) == [3]
        with pytest.raises(TimeoutError):
            channel.recv(timeout=0)


def test_what_cannot_be_encoded_is_refused_and_nothing_is_sent() -> None:
    with connected() as pair:
        channel = pair.client.transform(json_document)
        with pytest.raises(TypeError, match="serializable"):
            channel.sink.add(object())
        with pytest.raises(ValueError, match="JSON compliant"):
            channel.send(float("nan"))
        with pytest.raises(TypeError):
            channel.sink.add_stream([1, object(), 2])
        channel.send(3)
        assert [pair.server.recv(timeout=20) for _ in range(2)] == ["1", "3"]


def test_transformers_can_follow_each_other() -> None:
    with connected() as pair:
        channel = pair.client.transform(HEXADECIMAL).transform(StreamChannelTransformer.from_codec(len, range))
        assert_type(channel, TransformedSocketChannel[Any])
        channel.send("abc")  # type: ignore[arg-type, unused-ignore]
        assert pair.server.recv(timeout=20) == "0x3"
        pair.server.send("0x2")
        assert list(channel.recv(timeout=20)) == [0, 1]


def test_types_of_msgspec_and_pydantic() -> None:
    pydantic = pytest.importorskip("pydantic")
    pytest.importorskip("msgspec")
    with connected() as pair:
        near = pair.client.transform(cwschannel.pydantic_document(dict[str, int]))
        far = pair.server.transform(cwschannel.msgspec_document(dict[str, int]))
        near.send({"a": 1})
        assert far.recv(timeout=20) == {"a": 1}
        far.send({"b": 2})
        assert near.recv(timeout=20) == {"b": 2}
        pair.server.send('{"c": "no number"}')
        with pytest.raises(pydantic.ValidationError):
            near.recv(timeout=20)


def test_it_is_the_channel_below_in_other_clothes() -> None:
    with connected() as pair:
        with pair.client.transform(json_document) as channel:
            assert "SocketWebSocketChannel" in repr(channel)
            reading = Task(pair.server.recv)
            channel.sink.flush()
        with pytest.raises(ConnectionClosed, match="1000"):
            reading.result()
        assert pair.client.close_code == 1000
        with pytest.raises(ChannelStateError, match="after close"):
            channel.sink.add(1)
        channel.abort()


def test_an_error_closes_it_and_is_raised() -> None:
    with connected() as pair:
        channel = pair.client.transform(json_document)
        reading = Task(pair.server.recv)
        channel.sink.add_error(LookupError("mine"))
        with pytest.raises(ConnectionClosed, match="1011"):
            reading.result()
        with pytest.raises(LookupError, match="mine"):
            channel.close()
        with pytest.raises(LookupError, match="mine"):
            channel.sink.close()


def test_transformers_for_streams_are_refused() -> None:
    with connected() as pair, pytest.raises(TypeError, match="from_codec"):
        pair.client.transform(cwschannel.Disconnector())  # type: ignore[arg-type]
