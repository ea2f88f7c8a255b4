"""The client's side of the opening handshake: RFC 6455 section 4.1."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from cwschannel.exceptions import HandshakeRejected, InvalidHandshake
from cwschannel.protocol.opening import LONGEST_BODY, ClientOpening

from .heads import answer, client
from .wire import pieces


def rejection(data: bytes, *, ended: bool = False, size: int = 2**24) -> HandshakeRejected:
    """The error for an answer other than 101; ``ended`` if TCP was closed after it."""
    us = client()
    with pytest.raises(HandshakeRejected) as caught:  # noqa: PT012
        for piece in pieces(data, size):
            assert us.received(piece) is False
        if ended:
            us.eof()
    return caught.value


class TestRequest:
    def test_the_request_is_that_of_the_rfc(self) -> None:
        us = client("ws://example.com/chat?room=1")
        key = us.request.headers["Sec-WebSocket-Key"]
        assert us.request_bytes == (
            b"GET /chat?room=1 HTTP/1.1\r\n"
            b"Host: example.com\r\n"
            b"Upgrade: websocket\r\n"
            b"Connection: Upgrade\r\n"
            b"Sec-WebSocket-Key: " + key.encode() + b"\r\n"
            b"Sec-WebSocket-Version: 13\r\n"
            b"\r\n"
        )
        assert (us.request.method, us.request.target, us.request.version) == ("GET", "/chat?room=1", "1.1")
        assert us.response is us.protocol is None
        assert us.trailing == b""

    def test_the_key_is_16_random_bytes(self) -> None:
        keys = {client().request.headers["Sec-WebSocket-Key"] for _ in range(50)}
        assert len(keys) == 50
        assert {len(base64.b64decode(key, validate=True)) for key in keys} == {16}

    @pytest.mark.parametrize(
        ("uri", "host"),
        [
            ("ws://example.com:80/", "example.com"),
            ("wss://example.com:443/", "example.com"),
            ("ws://example.com:443/", "example.com:443"),
            ("ws://[::1]:8765/", "[::1]:8765"),
            ("ws://user:pass@example.com/", "example.com"),
        ],
    )
    def test_host_is_the_authority_of_the_uri(self, uri: str, host: str) -> None:
        assert client(uri).request.headers.get_all("Host") == [host]

    def test_a_host_of_the_callers_takes_the_place_of_ours(self) -> None:
        us = client(headers={"host": "proxied.example"})
        assert us.request.headers.get_all("Host") == ["proxied.example"]
        assert us.request_bytes.lower().count(b"\r\nhost:") == 1

    def test_two_hosts_are_refused(self) -> None:
        with pytest.raises(ValueError, match="cannot be sent"):
            client(headers=[("Host", "a"), ("Host", "b")])

    def test_headers_are_sent_in_order(self) -> None:
        us = client(headers=[("Cookie", "a=1"), ("X-Two", "2"), ("Cookie", "b=2")])
        assert us.request_bytes.endswith(b"\r\nCookie: a=1\r\nX-Two: 2\r\nCookie: b=2\r\n\r\n")

    def test_protocols_are_offered_in_order(self) -> None:
        us = client(protocols=["superchat", "chat"])
        assert us.request.headers.get_all("Sec-WebSocket-Protocol") == ["superchat, chat"]
        assert "Sec-WebSocket-Protocol" not in client().request.headers

    def test_no_extension_is_offered(self) -> None:
        assert b"xtensions" not in client().request_bytes

    def test_origin_and_user_agent_are_sent_if_given(self) -> None:
        us = client(origin="https://example.com", user_agent="test/1")
        assert us.request.headers["Origin"] == "https://example.com"
        assert us.request.headers["User-Agent"] == "test/1"
        assert "Origin" not in client().request.headers
        assert "User-Agent" not in client().request.headers

    def test_a_user_agent_of_the_callers_takes_the_place_of_ours(self) -> None:
        us = client(headers={"user-agent": "mine"}, user_agent="test/1")
        assert us.request.headers.get_all("User-Agent") == ["mine"]

    @pytest.mark.parametrize(
        ("userinfo", "pair"),
        [
            ("Aladdin:open%20sesame", "Aladdin:open sesame"),
            ("user", "user:"),
            ("us%C3%A9r:p%3A%40", "us\u00e9r:p:@"),
        ],
    )
    def test_userinfo_becomes_basic_authentication(self, userinfo: str, pair: str) -> None:
        us = client(f"ws://{userinfo}@example.com/")
        scheme, _, token = us.request.headers["Authorization"].partition(" ")
        assert scheme == "Basic"
        assert base64.b64decode(token, validate=True).decode() == pair

    def test_an_authorization_of_the_callers_takes_the_place_of_userinfo(self) -> None:
        us = client("ws://user:pass@example.com/", headers={"authorization": "Bearer x"})
        assert us.request.headers.get_all("Authorization") == ["Bearer x"]

    @pytest.mark.parametrize(
        "options",
        [
            {"origin": "http://a\r\nX: y"},
            {"origin": "http://a "},
            {"user_agent": "a\nb"},
            {"headers": {"X": "\ud800"}},
            {"headers": {"Host": "a\r\nX: y"}},
            {"protocols": ["a", "a"]},
            {"protocols": ["a b"]},
            {"protocols": [""]},
        ],
    )
    def test_what_cannot_be_sent_is_a_value_error(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError):
            client(**options)


class TestAnswer:
    def test_the_right_answer_opens_the_connection(self) -> None:
        us = client()
        assert us.received(answer(us)) is True
        assert us.response is not None
        assert (us.response.status, us.response.reason) == (101, "Switching Protocols")
        assert us.protocol is None
        assert us.trailing == b""

    def test_bytes_after_the_answer_are_kept(self) -> None:
        us = client()
        assert us.received(answer(us) + b"\x81\x02hi\r\n\r\n\0") is True
        assert us.trailing == b"\x81\x02hi\r\n\r\n\0"

    @pytest.mark.parametrize("start", ["HTTP/1.1 101", "HTTP/1.1 101 ", "HTTP/1.1 101 null", "HTTP/1.1 101 \xe9 \t!"])
    def test_the_words_of_the_status_do_not_matter(self, start: str) -> None:
        us = client()
        assert us.received(answer(us, start)) is True

    @pytest.mark.parametrize(
        "changed",
        [
            {"upgrade": "WebSocket"},
            {"upgrade": " websocket\t"},
            {"connection": "upgrade"},
            {"connection": "keep-alive, Upgrade"},
            {"connection": "keep-alive", "more": "Connection: Upgrade"},
            {"more": "Content-Length: 0"},
            {"more": "Server: x\nX-Empty:"},
        ],
    )
    def test_spelling_and_other_headers_do_not_matter(self, changed: dict[str, Any]) -> None:
        us = client()
        assert us.received(answer(us, **changed)) is True

    @pytest.mark.parametrize(
        ("changed", "match"),
        [
            ({"without": "Upgrade"}, "Upgrade: websocket"),
            ({"upgrade": "h2c"}, "Upgrade: websocket"),
            ({"upgrade": "websocket, h2c"}, "Upgrade: websocket"),
            ({"upgrade": "websockets"}, "Upgrade: websocket"),
            ({"more": "Upgrade: websocket"}, "Upgrade: websocket"),
            ({"without": "Connection"}, "Connection: Upgrade"),
            ({"connection": "close"}, "Connection: Upgrade"),
            ({"connection": "notupgrade"}, "Connection: Upgrade"),
            ({"connection": "keep-alive upgrade"}, "Connection: Upgrade"),
            ({"without": "Sec-WebSocket-Accept"}, "Sec-WebSocket-Accept"),
            ({"sec_websocket_accept": ""}, "Sec-WebSocket-Accept"),
            ({"sec_websocket_accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}, "Sec-WebSocket-Accept"),
            ({"more": "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}, "Sec-WebSocket-Accept"),
            ({"more": "Sec-WebSocket-Extensions: permessage-deflate"}, "extension"),
            ({"more": "Sec-WebSocket-Extensions:"}, "extension"),
            ({"more": "Content-Length: 5"}, "body"),
            ({"more": "Content-Length: 10"}, "body"),
            ({"more": "Transfer-Encoding: chunked"}, "body"),
        ],
    )
    def test_a_101_that_breaks_section_4_1_is_refused(self, changed: dict[str, Any], match: str) -> None:
        us = client()
        with pytest.raises(InvalidHandshake, match=match):
            us.received(answer(us, **changed))

    def test_the_accept_value_is_compared_with_its_case(self) -> None:
        us = client()
        right = answer(us)
        start = right.index(b"Accept: ") + 8
        wrong = right[:start] + right[start:].swapcase()
        with pytest.raises(InvalidHandshake, match="Sec-WebSocket-Accept"):
            us.received(wrong)

    @pytest.mark.parametrize(
        ("offered", "lines", "chosen"),
        [
            ([], "", None),
            (["chat"], "", None),
            (["chat"], "Sec-WebSocket-Protocol: chat", "chat"),
            (["superchat", "chat"], "sec-websocket-protocol:  chat ", "chat"),
        ],
    )
    def test_the_server_may_choose_an_offered_protocol_or_none(
        self, offered: list[str], lines: str, chosen: str | None
    ) -> None:
        us = client(protocols=offered)
        assert us.received(answer(us, more=lines)) is True
        assert us.protocol == chosen

    @pytest.mark.parametrize(
        ("offered", "lines"),
        [
            ([], "Sec-WebSocket-Protocol: chat"),
            ([], "Sec-WebSocket-Protocol:"),
            (["chat"], "Sec-WebSocket-Protocol:"),
            (["chat"], "Sec-WebSocket-Protocol: Chat"),
            (["chat"], "Sec-WebSocket-Protocol: superchat"),
            (["chat", "superchat"], "Sec-WebSocket-Protocol: chat, superchat"),
            (["chat", "superchat"], "Sec-WebSocket-Protocol: chat\nSec-WebSocket-Protocol: superchat"),
            (["chat"], "Sec-WebSocket-Protocol: chat\nSec-WebSocket-Protocol: chat"),
        ],
    )
    def test_the_server_may_not_choose_another_protocol_or_two(self, offered: list[str], lines: str) -> None:
        us = client(protocols=offered)
        with pytest.raises(InvalidHandshake, match="subprotocol"):
            us.received(answer(us, more=lines))
        assert us.protocol is None

    def test_interim_answers_are_passed_over(self) -> None:
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
        us = client()
        assert us.received(interim) is False
        assert us.response is None
        assert us.received(answer(us) + b"x") is True
        assert us.trailing == b"x"
        us = client()
        assert us.received(interim + answer(us)) is True

    @pytest.mark.parametrize("size", [1, 9, 1000])
    def test_a_101_of_http_1_0_is_refused(self, size: int) -> None:
        us = client()
        with pytest.raises(InvalidHandshake, match=r"HTTP/1\.1"):  # noqa: PT012
            for piece in pieces(answer(us, "HTTP/1.0 101 Switching Protocols"), size):
                us.received(piece)

    @pytest.mark.parametrize("size", [1, 9, 1000])
    def test_a_refusal_may_be_one_of_http_1_0(self, size: int) -> None:
        assert rejection(b"HTTP/1.0 503 Unavailable\r\n\r\nabc", ended=True, size=size).response.body == b"abc"

    @pytest.mark.parametrize(
        "start", ["HTTP/1.1 1010 X", "HTTP/1.1 10 X", "HTTP/1.1 +101 X", "HTTP/1.1 099 X", "HTTP/1.1101 X"]
    )
    def test_a_bad_status_line_is_refused(self, start: str) -> None:
        us = client()
        with pytest.raises(InvalidHandshake):
            us.received(answer(us, start))


class TestRejection:
    def test_another_status_is_a_rejection_with_the_whole_answer(self) -> None:
        data = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nX-Why: a\r\nX-Why: b\r\n\r\nhello"
        for size in (1, 7, 1000):
            error = rejection(data, size=size)
            response = error.response
            assert (error.status, response.status, response.reason, response.body) == (404, 404, "Not Found", b"hello")
            assert response.headers.get_all("x-why") == ["a", "b"]
            assert str(error) == "the server refused the WebSocket: HTTP 404 Not Found"

    def test_an_answer_without_words_is_a_rejection_too(self) -> None:
        error = rejection(b"HTTP/1.1 503 \r\nContent-Length: 0\r\n\r\n")
        assert str(error) == "the server refused the WebSocket: HTTP 503"
        assert error.response.body == b""

    @pytest.mark.parametrize("status", [200, 204, 301, 302, 400, 401, 403, 426, 500, 599])
    def test_every_other_status_is_a_rejection(self, status: int) -> None:
        assert rejection(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()).status == status

    def test_a_body_in_chunks_is_put_together(self) -> None:
        data = b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
        for size in (1, 1000):
            assert rejection(data, size=size).response.body == b"abcde"

    def test_a_body_without_a_length_lasts_until_tcp_is_closed(self) -> None:
        data = b"HTTP/1.1 403 Forbidden\r\n\r\nabc"
        assert rejection(data, ended=True).response.body == b"abc"

    def test_a_body_that_is_cut_short_is_given_as_far_as_it_came(self) -> None:
        data = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nabc"
        assert rejection(data, ended=True).response.body == b"abc"

    def test_giving_up_in_a_body_is_a_rejection(self) -> None:
        us = client()
        us.give_up()
        assert us.received(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nabc") is False
        with pytest.raises(HandshakeRejected) as caught:
            us.give_up()
        assert caught.value.response.body == b"abc"

    @pytest.mark.parametrize("length", [LONGEST_BODY - 1, LONGEST_BODY, LONGEST_BODY + 1, LONGEST_BODY * 3])
    def test_a_body_is_cut_at_1_mib(self, length: int) -> None:
        data = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % length + b"a" * length
        for size in (2**16, 2**24):
            assert rejection(data, size=size).response.body == b"a" * min(length, LONGEST_BODY)

    def test_an_endless_body_is_not_waited_for(self) -> None:
        us = client()
        us.received(b"HTTP/1.1 200 OK\r\n\r\n")
        taken = 0
        with pytest.raises(HandshakeRejected) as caught:  # noqa: PT012
            for _ in range(100):
                taken += 2**16
                us.received(b"a" * 2**16)
        assert taken == LONGEST_BODY
        assert len(caught.value.response.body) == LONGEST_BODY

    def test_tcp_closed_before_an_answer_is_an_invalid_handshake(self) -> None:
        for data in (b"", b"HTTP/1.1 10", b"HTTP/1.1 103 Early Hints\r\n\r\n"):
            us = client()
            if data:
                us.received(data)
            us.give_up()
            with pytest.raises(InvalidHandshake, match="closed the connection"):
                us.eof()

    @pytest.mark.parametrize(
        "lines",
        [
            "Content-Length: -1",
            "Content-Length: 1_0",
            "Content-Length: 1\r\nContent-Length: 2",
            "Transfer-Encoding: gzip",
            "Transfer-Encoding: chunked\r\n\r\nzz",
        ],
    )
    def test_a_rejection_that_is_not_valid_http_is_an_invalid_handshake(self, lines: str) -> None:
        with pytest.raises(InvalidHandshake, match="not valid HTTP"):
            client().received(f"HTTP/1.1 403 Forbidden\r\n{lines}\r\n\r\n".encode())


def test_an_opening_is_made_for_one_connection_only() -> None:
    us = client()
    other = client()
    assert isinstance(us, ClientOpening)
    with pytest.raises(InvalidHandshake, match="Sec-WebSocket-Accept"):
        us.received(answer(other))
