"""The server's side of the opening handshake: RFC 6455 sections 4.2 and 10.2."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from cwschannel.exceptions import InvalidHandshake
from cwschannel.http import Headers, Response
from cwschannel.protocol.opening import ServerOpening

from .heads import ACCEPT, CHROME, FIREFOX, KEY, SAFARI, opened, request

UPGRADE = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))


def refusal(data: bytes, **options: Any) -> InvalidHandshake:
    """The error with which a request is refused, be it when it came or when it is looked at."""
    with pytest.raises(InvalidHandshake) as caught:
        opened(data).accept(**options)
    return caught.value


def accepted(data: bytes, **options: Any) -> Response:
    return opened(data).accept(**options)[1]


class TestAccepting:
    @pytest.mark.parametrize("head", [FIREFOX, CHROME, SAFARI], ids=["firefox", "chrome", "safari"])
    def test_browsers_are_accepted(self, head: bytes) -> None:
        opening = opened(head)
        assert opening.request is not None
        assert opening.request.target == "/chat?room=1"
        assert opening.request.headers["Origin"] == "http://localhost:8765"
        out, response, protocol = opening.accept()
        assert out == (
            b"HTTP/1.1 101 Switching Protocols\r\n"
            b"Upgrade: websocket\r\n"
            b"Connection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + ACCEPT.encode() + b"\r\n"
            b"\r\n"
        )
        assert (response.status, response.reason, response.body) == (101, "Switching Protocols", b"")
        assert protocol is None

    def test_no_extension_is_accepted_that_was_not_asked_for_here(self) -> None:
        assert "Sec-WebSocket-Extensions" not in accepted(CHROME).headers

    @pytest.mark.parametrize(
        ("connection", "upgrade"),
        [
            ("Upgrade", "websocket"),
            ("upgrade", "WebSocket"),
            ("UPGRADE", "WEBSOCKET"),
            ("keep-alive, Upgrade", "websocket"),
            ("Upgrade,keep-alive", "websocket"),
            ("foo ,\tupgrade ,, bar", "websocket"),
        ],
    )
    def test_connection_is_a_list_and_case_does_not_matter(self, connection: str, upgrade: str) -> None:
        assert accepted(request(connection=connection, upgrade=upgrade)).status == 101

    def test_connection_may_stand_on_several_lines(self) -> None:
        assert accepted(request(connection="keep-alive", more="Connection: Upgrade")).status == 101

    def test_spaces_around_a_value_do_not_belong_to_it(self) -> None:
        response = accepted(request(sec_websocket_key=f" \t{KEY} \t", sec_websocket_version="  13 "))
        assert response.headers["Sec-WebSocket-Accept"] == ACCEPT

    def test_more_headers_are_sent(self) -> None:
        out, response, _ = opened(request()).accept(headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        assert b"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n" in out
        assert response.headers.get_all("set-cookie") == ["a=1", "b=2"]

    def test_early_frames_are_kept(self) -> None:
        opening = opened(request() + b"\x81\x80\0\0\0\0\r\n\r\n")
        assert opening.accept()[1].status == 101
        assert opening.trailing == b"\x81\x80\0\0\0\0\r\n\r\n"

    def test_early_frames_of_a_later_read_are_kept(self) -> None:
        opening = opened(request())
        assert opening.received(b"\x81\x80") is None
        assert opening.received(b"\0\0\0\0") is None
        assert opening.accept()[1].status == 101
        assert opening.trailing == b"\x81\x80\0\0\0\0"

    def test_a_body_of_length_0_is_none(self) -> None:
        assert accepted(request(more="Content-Length: 0")).status == 101

    def test_an_absolute_target_is_accepted(self) -> None:
        assert accepted(request("GET ws://example.com/chat HTTP/1.1")).status == 101


class TestRefusing:
    @pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "get", "Get"])
    def test_another_method_is_405_with_allow(self, method: str) -> None:
        error = refusal(request(f"{method} /chat HTTP/1.1"))
        assert (error.status, error.headers) == (405, (("Allow", "GET"),))

    @pytest.mark.parametrize("version", ["1.0", "1.2", "2.0", "0.9"])
    def test_another_version_of_http_is_505(self, version: str) -> None:
        error = refusal(request(f"GET /chat HTTP/{version}"))
        assert (error.status, error.headers) == (505, ())

    @pytest.mark.parametrize(
        "start",
        [
            "GET /chat",
            "GET  /chat HTTP/1.1",
            "GET HTTP/1.1",
            "GET /chat HTTP/1",
            "GET /chat HTTP/1.1 x",
            "GET /a b HTTP/1.1",
            "GET /chat http/1.1",
            "GET /chat HTTP/1.11",
            "GET /chat HTTP/\u0661.1",
            "GET /ch\x7fat HTTP/1.1",
            "GET /chat\tHTTP/1.1",
        ],
    )
    def test_a_bad_request_line_is_400(self, start: str) -> None:
        data = request("@").replace(b"@", start.encode())
        assert refusal(data).status == 400

    def test_an_empty_line_in_front_is_400(self) -> None:
        assert refusal(b"\r\n" + request()).status == 400

    def test_a_missing_host_is_400(self) -> None:
        assert refusal(request(without="Host")).status == 400

    def test_two_hosts_are_400(self) -> None:
        assert refusal(request(more="Host: example.org")).status == 400

    @pytest.mark.parametrize(
        ("more", "body"),
        [
            ("Content-Length: 5", b"hello"),
            ("Content-Length: 5", b""),
            ("Transfer-Encoding: chunked", b""),
            ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
            ("Transfer-Encoding: chunked", b"0\r\n\r\n"),
        ],
    )
    def test_a_body_is_400(self, more: str, body: bytes) -> None:
        error = refusal(request(more=more) + body)
        assert error.status == 400
        assert "body" in str(error)

    @pytest.mark.parametrize("length", ["+0", "-1", "0x0", "1_0", "\u0660", "0, 5", "", "9" * 30])
    def test_a_bad_content_length_is_400(self, length: str) -> None:
        head = request(more="Content-Length: @").replace(b"@", length.encode())
        assert refusal(head).status == 400

    def test_two_different_content_lengths_are_400(self) -> None:
        assert refusal(request(more="Content-Length: 0\nContent-Length: 5")).status == 400

    def test_an_unknown_transfer_encoding_is_501(self) -> None:
        assert refusal(request(more="Transfer-Encoding: gzip")).status == 501

    @pytest.mark.parametrize(
        "changed",
        [
            {"without": "Upgrade"},
            {"without": "Connection"},
            {"upgrade": "h2c"},
            {"upgrade": "websockets"},
            {"upgrade": "notwebsocket"},
            {"upgrade": "web socket"},
            {"upgrade": ""},
            {"connection": "keep-alive"},
            {"connection": "notupgrade"},
            {"connection": "upgraded"},
            {"connection": "keep-alive upgrade"},
            {"connection": ""},
        ],
    )
    def test_a_request_that_asks_for_no_upgrade_is_426(self, changed: dict[str, Any]) -> None:
        error = refusal(request(**changed))
        assert (error.status, error.headers) == (426, UPGRADE)

    @pytest.mark.parametrize("version", ["8", "7", "12", "14", "013", "13.0", "+13", "13, 8", "\xb9\xb3", "", "1_3"])
    def test_a_wrong_version_is_426_with_ours(self, version: str) -> None:
        error = refusal(request(sec_websocket_version=version))
        assert (error.status, error.headers) == (426, UPGRADE)

    def test_two_versions_are_426(self) -> None:
        assert refusal(request(more="Sec-WebSocket-Version: 13")).status == 426

    def test_a_missing_version_is_400_with_ours(self) -> None:
        error = refusal(request(without="Sec-WebSocket-Version"))
        assert (error.status, error.headers) == (400, UPGRADE)

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "x",
            KEY[:-1],
            KEY[:-2],
            KEY + "=",
            KEY.replace("=", "A"),
            base64.b64encode(bytes(15)).decode(),
            base64.b64encode(bytes(17)).decode(),
            base64.urlsafe_b64encode(b"\xff" * 16).decode(),
            "dGhlIHNhbXBsZSBub25j*Q==",
            "dGhlIHNhbXBsZSBub25 ZQ==",
            "dGhlIHNhbXBsZSBub25j\xe9Q==",
            f"{KEY}, {KEY}",
        ],
    )
    def test_a_key_that_is_not_16_bytes_of_base64_is_400(self, key: str) -> None:
        error = refusal(request(sec_websocket_key=key))
        assert (error.status, error.headers) == (400, ())

    def test_no_key_and_two_keys_are_400(self) -> None:
        assert refusal(request(without="Sec-WebSocket-Key")).status == 400
        assert refusal(request(more=f"Sec-WebSocket-Key: {KEY}")).status == 400

    def test_the_request_can_be_looked_at_after_it_was_refused(self) -> None:
        opening = opened(request("POST /chat HTTP/1.1"))
        with pytest.raises(InvalidHandshake):
            opening.accept()
        assert opening.request is not None
        assert opening.request.method == "POST"


class TestOrigins:
    @pytest.mark.parametrize(
        ("origin", "allowed", "passes"),
        [
            (None, None, True),
            (None, [], True),
            (None, "https://example.com", True),
            ("http://example.com", None, True),
            ("https://example.com", None, True),
            ("HTTPS://EXAMPLE.com", None, True),
            ("https://example.com:8443", None, False),
            ("https://example.org", None, False),
            ("https://sub.example.com", None, False),
            ("https://example.com.evil.org", None, False),
            ("https://evilexample.com", None, False),
            ("https://example.com/", None, False),
            ("ws://example.com", None, False),
            ("null", None, False),
            ("", None, False),
            ("file://", None, False),
            ("https://evil.org", "*", True),
            ("null", "*", True),
            ("https://app.org", ["https://app.org"], True),
            ("https://app.org", "https://app.org", True),
            ("https://APP.org", ["HTTPS://app.ORG"], True),
            ("https://app.org", ["https://example.com", "https://app.org"], True),
            ("https://app.org:8443", ["https://app.org"], False),
            ("http://app.org", ["https://app.org"], False),
            ("https://app.org", {"*.org"}, False),
            ("https://example.com", ["https://app.org"], False),
            ("https://example.com", [], False),
            ("p", "https://app.org", False),
            ("null", ["null"], True),
        ],
    )
    def test_pages_of_other_origins_are_refused_unless_they_are_allowed(
        self, origin: str | None, allowed: Any, passes: bool
    ) -> None:
        data = request(more="" if origin is None else f"Origin: {origin}")
        if passes:
            assert accepted(data, allowed_origins=allowed).status == 101
        else:
            error = refusal(data, allowed_origins=allowed)
            assert (error.status, error.headers) == (403, ())

    def test_the_port_belongs_to_the_host(self) -> None:
        data = request(host="example.com:8765", more="Origin: http://example.com:8765")
        assert accepted(data).status == 101
        assert refusal(request(host="example.com:8765", more="Origin: http://example.com")).status == 403

    @pytest.mark.parametrize(
        ("origin", "allowed", "passes"),
        [
            (None, None, True),
            ("https://example.com", None, True),
            ("HTTPS://EXAMPLE.com", None, True),
            ("http://example.com", None, False),
            ("HTTP://example.com", None, False),
            ("https://example.com:8443", None, False),
            ("https://example.org", None, False),
            ("wss://example.com", None, False),
            ("null", None, False),
            ("", None, False),
            ("http://example.com", "*", True),
            ("http://example.com", ["http://example.com"], True),
            ("http://app.org", "http://app.org", True),
            ("https://example.com", ["http://example.com"], False),
            ("https://example.com", [], False),
        ],
    )
    def test_over_tls_pages_of_the_same_host_must_be_of_https_unless_others_are_allowed(
        self, origin: str | None, allowed: Any, passes: bool
    ) -> None:
        data = request(more="" if origin is None else f"Origin: {origin}")
        if passes:
            assert accepted(data, allowed_origins=allowed, secure=True).status == 101
        else:
            error = refusal(data, allowed_origins=allowed, secure=True)
            assert (error.status, error.headers) == (403, ())

    def test_the_port_belongs_to_the_host_over_tls_too(self) -> None:
        data = request(host="example.com:8765", more="Origin: https://example.com:8765")
        assert accepted(data, secure=True).status == 101
        for origin in ("http://example.com:8765", "https://example.com"):
            assert refusal(request(host="example.com:8765", more=f"Origin: {origin}"), secure=True).status == 403

    def test_without_a_word_about_tls_the_connection_is_taken_for_one_without_it(self) -> None:
        data = request(more="Origin: http://example.com")
        assert accepted(data).status == accepted(data, secure=False).status == 101
        assert refusal(data, secure=True).status == 403

    def test_two_origins_are_refused(self) -> None:
        more = "Origin: http://example.com\nOrigin: http://example.com"
        assert refusal(request(more=more)).status == 403
        assert refusal(request(more=more), allowed_origins=["http://example.com"]).status == 403
        assert refusal(request(more=more.replace("http:", "https:")), secure=True).status == 403

    def test_the_rules_of_the_handshake_come_first(self) -> None:
        assert refusal(request(without="Upgrade", more="Origin: https://evil.org")).status == 426


class TestProtocols:
    @pytest.mark.parametrize(
        ("offered", "spoken", "chosen"),
        [
            ("", ["chat"], None),
            ("Sec-WebSocket-Protocol: chat", [], None),
            ("Sec-WebSocket-Protocol: chat", ["chat"], "chat"),
            ("Sec-WebSocket-Protocol: chat, superchat", ["superchat", "chat"], "superchat"),
            ("Sec-WebSocket-Protocol: chat,superchat ,other", ["other"], "other"),
            ("Sec-WebSocket-Protocol: chat\nSec-WebSocket-Protocol: superchat", ["superchat"], "superchat"),
            ("Sec-WebSocket-Protocol: Chat", ["chat"], None),
            ("Sec-WebSocket-Protocol: other", ["chat"], None),
            ("Sec-WebSocket-Protocol: superchat", ["chat"], None),
            ("Sec-WebSocket-Protocol:", ["chat"], None),
        ],
    )
    def test_the_servers_favourite_among_the_offered_is_chosen(
        self, offered: str, spoken: list[str], chosen: str | None
    ) -> None:
        _, response, protocol = opened(request(more=offered)).accept(protocols=spoken)
        assert protocol == chosen
        assert response.headers.get_all("sec-websocket-protocol") == ([] if chosen is None else [chosen])

    @pytest.mark.parametrize("protocol", ["a b", "a;b", '"a"', "a/b", "\xe9", "a, b c"])
    def test_a_protocol_that_is_no_token_is_400(self, protocol: str) -> None:
        assert refusal(request(more=f"Sec-WebSocket-Protocol: {protocol}"), protocols=["a"]).status == 400


class TestReject:
    def test_an_answer_closes_the_connection(self) -> None:
        out = opened(request()).reject(Response.text(404, "no such room"))
        assert out == (
            b"HTTP/1.1 404 Not Found\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\n"
            b"Content-Length: 13\r\n"
            b"Connection: close\r\n"
            b"\r\n"
            b"no such room\n"
        )

    def test_connection_is_ours_to_say(self) -> None:
        out = opened(request()).reject(Response(403, "Forbidden", Headers([("CONNECTION", "keep-alive")])))
        assert out == b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n"

    def test_a_header_upgrade_is_named_in_connection(self) -> None:
        out = opened(request()).reject(Response(426, "", Headers(UPGRADE)))
        assert out.endswith(b"\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade, close\r\n\r\n")
        assert out.startswith(b"HTTP/1.1 426 \r\n")

    def test_head_gets_no_body(self) -> None:
        out = opened(request("HEAD /chat HTTP/1.1")).reject(Response.text(405))
        assert out.endswith(b"Content-Length: 19\r\nConnection: close\r\n\r\n")

    @pytest.mark.parametrize("status", [0, 100, 101, 199, 1000])
    def test_it_has_no_status_that_refuses_nothing(self, status: int) -> None:
        with pytest.raises(ValueError, match=str(status)):
            opened(request()).reject(Response(status, "Words"))

    def test_a_body_may_be_anything(self) -> None:
        body = bytes(range(256))
        assert opened(request()).reject(Response(400, "", Headers(), body)).endswith(b"\r\n\r\n" + body)

    def test_what_is_no_http_can_be_answered_too(self) -> None:
        opening = ServerOpening()
        with pytest.raises(InvalidHandshake) as caught:
            opening.received(b"\x16\x03\x01")
        error = caught.value
        out = opening.reject(Response.text(error.status, str(error), error.headers))
        assert out.startswith(b"HTTP/1.1 400 Bad Request\r\n")

    @pytest.mark.parametrize("status", [400, 403, 405, 426, 431, 501, 503, 505])
    def test_every_status_that_we_refuse_with_has_its_words(self, status: int) -> None:
        out = opened(request()).reject(Response.text(status))
        assert out.split(b"\r\n")[0].startswith(f"HTTP/1.1 {status} ".encode())
        assert len(out.split(b"\r\n")[0]) > len("HTTP/1.1 400 ")

    @pytest.mark.parametrize(
        "response",
        [
            Response(302, "Found", Headers([("Location", "/x\r\nSet-Cookie: a=b")])),
            Response(302, "Found", Headers([("Location\r\nSet-Cookie", "a=b")])),
            Response(404, "Not\r\nSet-Cookie: a=b"),
        ],
    )
    def test_an_answer_cannot_be_split_by_what_stands_in_a_header(self, response: Response) -> None:
        with pytest.raises(ValueError):
            opened(request()).reject(response)
