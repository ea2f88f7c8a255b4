"""WebSocket URIs: RFC 6455 section 3, RFC 3986, RFC 7617."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwschannel.exceptions import InvalidURI, WebSocketChannelException
from cwschannel.protocol.uri import WebSocketURI, parse_uri

from .wire import examples


@pytest.mark.parametrize(
    ("uri", "secure", "host", "port", "target", "authority"),
    [
        ("ws://example.com", False, "example.com", 80, "/", "example.com"),
        ("wss://example.com", True, "example.com", 443, "/", "example.com"),
        ("ws://example.com:80/", False, "example.com", 80, "/", "example.com"),
        ("wss://example.com:443/", True, "example.com", 443, "/", "example.com"),
        # the other scheme's port is no default
        ("ws://example.com:443/", False, "example.com", 443, "/", "example.com:443"),
        ("wss://example.com:80/", True, "example.com", 80, "/", "example.com:80"),
        ("ws://example.com:8765/chat", False, "example.com", 8765, "/chat", "example.com:8765"),
        ("ws://example.com:/chat", False, "example.com", 80, "/chat", "example.com"),
        ("ws://example.com?room=1", False, "example.com", 80, "/?room=1", "example.com"),
        ("ws://example.com/a?b=c&d=/?", False, "example.com", 80, "/a?b=c&d=/?", "example.com"),
        ("ws://example.com/?", False, "example.com", 80, "/", "example.com"),
        ("WS://EXAMPLE.com/Path", False, "example.com", 80, "/Path", "example.com"),
        ("ws://[::1]/", False, "::1", 80, "/", "[::1]"),
        ("ws://[2001:db8::1]:8765/", False, "2001:db8::1", 8765, "/", "[2001:db8::1]:8765"),
        ("ws://127.0.0.1:65535/", False, "127.0.0.1", 65535, "/", "127.0.0.1:65535"),
        ("ws://b\u00fccher.example/", False, "xn--bcher-kva.example", 80, "/", "xn--bcher-kva.example"),
    ],
)
def test_a_uri_is_taken_apart(uri: str, secure: bool, host: str, port: int, target: str, authority: str) -> None:
    parsed = parse_uri(uri)
    assert parsed == WebSocketURI(secure, host, port, target)
    assert parsed.authority == authority
    assert parsed.credentials is None


@pytest.mark.parametrize(
    ("uri", "origin"),
    [
        ("ws://example.com/chat", "http://example.com"),
        ("wss://example.com/chat", "https://example.com"),
        ("ws://example.com:8765/", "http://example.com:8765"),
        ("wss://[::1]:80/", "https://[::1]:80"),
    ],
)
def test_the_origin_is_that_of_a_page_on_the_same_host(uri: str, origin: str) -> None:
    assert parse_uri(uri).origin == origin


@pytest.mark.parametrize(
    ("given_target", "sent"),
    [
        ("/caf\u00e9?q=\u00fc", "/caf%C3%A9?q=%C3%BC"),
        ("/a%20b%2Fc", "/a%20b%2Fc"),
        ("/100%", "/100%"),
        ('/[a]|^`{}\\"<>', "/%5Ba%5D%7C%5E%60%7B%7D%5C%22%3C%3E"),
        ("/:@!$&'()*+,;=-._~", "/:@!$&'()*+,;=-._~"),
        ("/\U0001f600", "/%F0%9F%98%80"),
    ],
)
def test_path_and_query_are_encoded_for_the_wire_and_not_twice(given_target: str, sent: str) -> None:
    assert parse_uri("ws://example.com" + given_target).target == sent


@pytest.mark.parametrize(
    ("userinfo", "credentials"),
    [
        ("user:secret", ("user", "secret")),
        ("user", ("user", "")),
        ("user:", ("user", "")),
        (":secret", ("", "secret")),
        ("u%40b:p%3Aq%2F", ("u@b", "p:q/")),
        ("user:p:q", ("user", "p:q")),
        ("us%C3%A9r:p%C3%A4ss", ("us\u00e9r", "p\u00e4ss")),
    ],
)
def test_user_name_and_password_are_decoded(userinfo: str, credentials: tuple[str, str]) -> None:
    parsed = parse_uri(f"ws://{userinfo}@example.com/")
    assert parsed.credentials == credentials
    assert parsed.host == "example.com"
    assert "@" not in parsed.authority


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "example.com",
        "//example.com",
        "/chat",
        "ftp://example.com",
        "ws:example.com",
        "ws:/example.com",
        "ws://",
        "ws:///chat",
        "ws://:8765",
        "ws://user@",
        "ws://example.com:0/",
        "ws://example.com:65536/",
        "ws://example.com:-1/",
        "ws://example.com:+80/",
        "ws://example.com:8_0/",
        "ws://example.com:80:80/",
        "ws://example.com:port/",
        "ws://example.com:\u0663/",
        "ws://[::1/",
        "ws://[nonsense]/",
        "ws://\u00e9..example/",
        "ws://" + "\u00e9" * 80 + ".example/",
        "ws://host\u2028.example/",
        "ws://host\u2100.example/",
    ],
)
def test_what_is_no_websocket_uri_is_refused(uri: str) -> None:
    with pytest.raises(InvalidURI) as caught:
        parse_uri(uri)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, WebSocketChannelException)
    assert repr(uri) in str(caught.value)


@pytest.mark.parametrize("uri", ["ws://example.com/#", "ws://example.com/chat#room", "ws://example.com#room"])
def test_a_fragment_is_refused(uri: str) -> None:
    with pytest.raises(InvalidURI, match="fragment"):
        parse_uri(uri)


def test_an_escaped_number_sign_is_no_fragment() -> None:
    assert parse_uri("ws://example.com/a%23b").target == "/a%23b"


@pytest.mark.parametrize("character", ["\r", "\n", "\t", " ", "\x00", "\x1f", "\x7f"])
@pytest.mark.parametrize(
    "place", ["{}ws://example.com/", "ws://exa{}mple.com/", "ws://example.com/a{}b", "ws://example.com/{}"]
)
def test_spaces_and_control_characters_are_refused_and_never_dropped(place: str, character: str) -> None:
    with pytest.raises(InvalidURI, match="a space"):
        parse_uri(place.format(character))


@pytest.mark.parametrize(("uri", "hint"), [("http://example.com", "'ws://'?"), ("https://example.com", "'wss://'?")])
def test_an_http_uri_is_refused_with_a_hint(uri: str, hint: str) -> None:
    with pytest.raises(InvalidURI, match="did you mean") as caught:
        parse_uri(uri)
    assert hint in str(caught.value)


@pytest.mark.parametrize("uri", [None, b"ws://example.com", 5])
def test_a_uri_is_a_str(uri: object) -> None:
    with pytest.raises(TypeError, match="a URI is a str"):
        parse_uri(uri)  # type: ignore[arg-type]


@pytest.mark.parametrize("uri", ["ws://example.com/\ud800", "ws://example.com/?\ud800", "ws://\ud800@example.com/"])
def test_a_lone_surrogate_is_refused_like_anything_else(uri: str) -> None:
    with pytest.raises(InvalidURI):
        parse_uri(uri)


@pytest.mark.parametrize("uri", ["ws://\u00a0/", "ws://exa\u00a0mple.com/", "ws://example\u3000.com/"])
def test_a_host_that_becomes_one_with_a_space_is_refused(uri: str) -> None:
    with pytest.raises(InvalidURI):
        parse_uri(uri)


def test_text_after_the_bracket_of_an_address_is_refused() -> None:
    with pytest.raises(InvalidURI):
        parse_uri("ws://[::1]x/")


def test_a_parsed_uri_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_uri("ws://example.com/").port = 1  # type: ignore[misc]


@examples(200)
@given(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
        st.text("ws:/@[]?#%.\u00e9 a1\\", max_size=30),
    ),
    st.sampled_from(["", "ws://", "wss://h", "ws://h/", "ws://[", "ws://h:"]),
)
def test_any_text_is_a_uri_or_refused(text: str, beginning: str) -> None:
    try:
        parsed = parse_uri(beginning + text)
    except InvalidURI:
        return
    assert 1 <= parsed.port <= 65535
    assert parsed.host
    assert parsed.host.isascii()
    assert parsed.target.startswith("/")
    assert parsed.target.isascii()
    assert not set(parsed.target) & set(" \r\n\t\x00#")
    if text.isascii():
        assert not set(parsed.host) & set(" \r\n\t\x00#/?@")
