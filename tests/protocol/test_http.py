"""Headers, requests and responses as applications see them."""

from __future__ import annotations

import dataclasses

import pytest

from cwschannel.http import Headers, Request, Response

PAIRS = [("Set-Cookie", "a=1"), ("X-Empty", ""), ("set-cookie", "b=2"), ("Connection", "keep-alive ,, Upgrade\t,")]


def test_headers_are_looked_up_without_regard_to_case() -> None:
    headers = Headers({"Sec-WebSocket-Key": "x"})
    assert headers["sec-websocket-key"] == headers["SEC-WEBSOCKET-KEY"] == "x"
    assert "sec-WEBSOCKET-key" in headers
    assert headers.get("sec-websocket-KEY") == "x"


def test_headers_of_one_name_are_joined_or_kept_apart() -> None:
    headers = Headers(PAIRS)
    assert headers["Set-Cookie"] == "a=1, b=2"
    assert headers.get_all("SET-COOKIE") == ["a=1", "b=2"]
    assert headers.get_all("nothing") == []


def test_headers_keep_their_order_and_spelling() -> None:
    headers = Headers(PAIRS)
    assert headers.pairs() == PAIRS
    assert repr(headers) == f"Headers({PAIRS!r})"


def test_headers_are_a_mapping_with_each_name_once() -> None:
    headers = Headers(PAIRS)
    assert list(headers) == ["set-cookie", "x-empty", "connection"]
    assert len(headers) == 3
    assert dict(headers) == {"set-cookie": "a=1, b=2", "x-empty": "", "connection": PAIRS[3][1]}
    assert Headers(headers).pairs() == list(dict(headers).items())
    assert not Headers()


def test_a_header_that_is_not_there_is_a_key_error() -> None:
    headers = Headers(PAIRS)
    with pytest.raises(KeyError):
        headers["Host"]
    assert headers.get("Host") is None
    assert "Host" not in headers
    assert 5 not in headers


def test_an_empty_header_is_there() -> None:
    assert "x-empty" in Headers(PAIRS)
    assert Headers(PAIRS)["x-empty"] == ""


def test_tokens_are_taken_from_all_lines_without_empty_ones() -> None:
    headers = Headers([("A", "x, y"), ("a", "Z"), ("A", ",")])
    assert headers.tokens("A") == ["x", "y", "Z"]
    assert Headers(PAIRS).tokens("connection") == ["keep-alive", "Upgrade"]
    assert Headers(PAIRS).tokens("nothing") == []


def test_changing_the_pairs_that_were_returned_changes_nothing() -> None:
    headers = Headers(PAIRS)
    headers.pairs().clear()
    headers.get_all("set-cookie").clear()
    assert headers.pairs() == PAIRS


def test_the_path_is_the_target_without_its_query() -> None:
    assert Request("GET", "/chat?room=1?2").path == "/chat"
    assert Request("GET", "/chat").path == "/chat"


def test_requests_and_responses_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Request("GET", "/").method = "POST"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Response(200).status = 500  # type: ignore[misc]


def test_an_answer_in_plain_text_has_the_headers_it_needs() -> None:
    response = Response.text(404, "caf\u00e9", {"X-Reason": "none"})
    assert (response.status, response.reason) == (404, "Not Found")
    assert response.body == "caf\u00e9\n".encode()
    assert response.headers.pairs() == [
        ("X-Reason", "none"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", "6"),
    ]


def test_an_answer_without_a_text_says_what_its_status_means() -> None:
    assert Response.text(403).body == b"Forbidden\n"


def test_an_unknown_status_has_no_text() -> None:
    with pytest.raises(ValueError, match="499"):
        Response.text(499)
