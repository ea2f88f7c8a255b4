"""Run wstest with every listening socket bound to 127.0.0.1. For the suite's Python 2.7."""

# mypy: ignore-errors

from autobahntestsuite import wstest  # installs the Twisted reactor: first
from twisted.internet import reactor

_listen = reactor.listenTCP


def listen_on_loopback(port, factory, backlog=50, _=None):
    return _listen(port, factory, backlog, "127.0.0.1")


reactor.listenTCP = listen_on_loopback

if __name__ == "__main__":
    wstest.run()
