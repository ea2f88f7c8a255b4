"""Documents over an opening handshake made by hand, without asyncio: ``python sync_hand_made_upgrade.py [PORT]``.

This is how a program that has a blocking HTTP server of its own gets a WebSocket: it answers the upgrade (RFC 6455 section
4.2), and hands the socket over. Here that server is ``socket.create_server``, and it understands just enough of HTTP to show
it. It answers each JSON document with one that says what it has seen, and text that is none with the mistake. Prints the URI
on which it listens, and the close code of each connection. Runs until Ctrl-C.
"""

import contextlib
import socket
import sys
import threading

from cwschannel import ConnectionClosed, json_document
from cwschannel.sync import SocketWebSocketChannel

BAD = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def upgrade(sock: socket.socket) -> bytes:
    """Read a request and answer it. Returns what came behind it, which are frames.

    Raises:
        KeyError, ValueError: it is no WebSocket's. It was answered with 400.
    """
    received = b""
    try:
        while b"\r\n\r\n" not in received:
            chunk = sock.recv(4096)
            if not chunk or len(received) > 16384:
                raise ValueError("no request came")
            received += chunk
        head, _, received = received.partition(b"\r\n\r\n")
        lines = [line.partition(":") for line in head.decode("latin-1").splitlines()[1:]]
        headers = {name.lower(): value.strip() for name, _, value in lines}
        if headers["upgrade"].lower() != "websocket" or headers["sec-websocket-version"] != "13":
            raise ValueError("not a WebSocket of RFC 6455")
        accept = SocketWebSocketChannel.sign_key(headers["sec-websocket-key"])
    except (KeyError, ValueError):
        sock.sendall(BAD)
        raise
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
    )
    return received


def connected(sock: socket.socket) -> None:
    sock.settimeout(10)
    try:
        received = upgrade(sock)
    except (KeyError, ValueError, OSError):
        sock.close()
        return
    with SocketWebSocketChannel(sock, ping_interval=20, received=received) as channel:
        documents = channel.transform(json_document)
        with contextlib.suppress(ConnectionClosed):
            while True:
                try:
                    documents.sink.add({"seen": documents.recv()})
                except ValueError as error:  # the document after it is read as if nothing had been
                    documents.sink.add({"mistake": str(error)})
    print("closed with", channel.close_code, flush=True)


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    with socket.create_server(("localhost", port)) as listening:
        print(f"listening on ws://localhost:{listening.getsockname()[1]}", flush=True)
        while True:
            sock, _ = listening.accept()
            threading.Thread(target=connected, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
