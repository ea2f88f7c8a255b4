"""What a reader refuses: each rule by name, the limits, text, reserved bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from . import oracle
from .generated import Conversation, pieces
from .reading import Reading, check, give_by_feed, give_by_reads
from .samples import KEY, fragments, sequence

if TYPE_CHECKING:
    from .twins import Kernels


# Rule by rule: options of the reader, good frames, the frame that breaks the rule, and how many of its bytes tell.
GOOD = [(1, "good é".encode()), (9, b"ping"), (2, b"fine")]
BREACHES: dict[str, list[tuple[bytes, int, dict[str, Any]]]] = {
    "reserved-bits": [
        (oracle.frame(1, b"a", rsv=0x40), 2, {}),
        (oracle.frame(2, b"a", rsv=0x20), 2, {}),
        (oracle.frame(1, b"a", rsv=0x10), 2, {}),
        (oracle.frame(1, b"a", rsv=0x70), 2, {"rsv": 0x60}),
        (oracle.frame(1, b"a", rsv=0x20), 2, {"rsv": 0x40}),
        (oracle.frame(8, rsv=0x40), 2, {"rsv": 0x70}),
        (oracle.frame(9, rsv=0x40), 2, {"rsv": 0x70}),
        (oracle.frame(10, rsv=0x10), 2, {"rsv": 0x70}),
        (oracle.frame(0, rsv=0x40), 2, {"rsv": 0x70}),
    ],
    "reserved-opcode": [(oracle.frame(opcode, b"a"), 2, {}) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)],
    "control-fragmented": [(oracle.frame(opcode, b"a", fin=False), 2, {}) for opcode in (8, 9, 10)],
    "control-too-long": [
        *((oracle.frame(opcode, bytes(126)), 2, {}) for opcode in (8, 9, 10)),
        (oracle.frame(9, bytes(65536)), 2, {}),
        (oracle.header(9, 0, width=2), 2, {}),
        (oracle.header(9, 0, width=8), 2, {}),
    ],
    "mask-missing": [(oracle.frame(opcode, b"a"), 2, {"masked": True}) for opcode in (1, 2, 8, 9, 10)],
    "mask-forbidden": [(oracle.frame(opcode, b"a", key=KEY), 2, {}) for opcode in (1, 2, 8, 9, 10)],
    "continuation-without-start": [
        (oracle.frame(0, b"a"), 2, {}),
        (oracle.frame(0, b"a", fin=False), 2, {}),
        (b"".join(fragments(b"a", b"b", b"c")) + oracle.frame(0, b"d"), 3 * 3 + 2, {}),
        (oracle.frame(1, b"whole") + oracle.frame(0, b"d"), 7 + 2, {}),
    ],
    "message-interrupted": [
        (fragments(b"a", b"b")[0] + oracle.frame(1, b"c"), 3 + 2, {}),
        (fragments(b"a", b"b")[0] + oracle.frame(2, b"c", fin=False), 3 + 2, {}),
        (fragments(b"a", b"b", opcode=2)[0] + oracle.frame(2, b"c"), 3 + 2, {}),
        (fragments(b"a", b"b")[0] + oracle.frame(9) + oracle.frame(1), 3 + 2 + 2, {}),
    ],
    "length-not-minimal": [
        (oracle.header(2, size, width=width), 2 + width, {})
        for size, width in ((0, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8))
    ],
    "length-top-bit": [(oracle.header(2, size, width=8), 10, {}) for size in (2**63, 2**63 + 5, 2**64 - 1)],
    "message-too-big": [
        (oracle.frame(1, bytes(11)), 2, {"max_message_size": 10}),
        (oracle.frame(2, bytes(126)), 4, {"max_message_size": 125}),
        (oracle.frame(2, bytes(65536)), 10, {"max_message_size": 65535}),
        (oracle.header(2, 2**63 - 1, width=8), 10, {"max_message_size": 2**20}),
        (oracle.header(1, 2**62, width=8), 10, {"max_message_size": 2**62 - 1}),
        (oracle.frame(2, bytes(11), rsv=0x40), 2, {"max_message_size": 10, "rsv": 0x40}),
        (b"".join(fragments(bytes(6), bytes(4), b"x")), 8 + 6 + 2, {"max_message_size": 10}),
        (fragments(bytes(6), b"")[0] + oracle.header(0, 2**63 - 1, width=8), 8 + 10, {"max_message_size": 10}),
        (fragments(bytes(6), b"")[0] + oracle.frame(9, bytes(20)) + oracle.frame(0, bytes(5)), 32, {"max_message_size": 10}),
    ],
    "no-memory": [(oracle.header(opcode, size), 10, {}) for opcode in (1, 2) for size in (2**47 + 1, 2**62, 2**63 - 1)],
    "too-many-fragments": [
        (b"".join(fragments(b"a", b"b", b"c", b"d", b"e")), 3 * 3 + 2, {"max_fragments": 3}),
        (b"".join(fragments(b"", b"", b"", b"", b"")), 2 * 3 + 2, {"max_fragments": 3}),
        (b"".join(fragments(b"", b"", opcode=2)), 2, {"max_fragments": 0}),
        (oracle.frame(9).join(fragments(b"", b"", b"", b"")), 2 * 4 + 2, {"max_fragments": 2}),
    ],
    "invalid-utf-8": [
        (oracle.frame(1, b"\xff"), 3, {}),
        (oracle.frame(1, b"ab\xc0\xafcd" + bytes(200)), 4 + 3, {}),
        (oracle.frame(1, b"a\xed\xa0\x80"), 2 + 3, {}),
        (oracle.frame(1, b"a\xf4\x90\x80\x80"), 2 + 3, {}),
        (oracle.frame(1, "漢".encode()[:2]), 4, {}),
        (oracle.frame(1, b"\xff", fin=False), 3, {}),
        (b"".join(fragments(b"ab\xff", b"c")), 2 + 3, {}),
        (b"".join(fragments("漢".encode()[:2], b"a")), 4 + 3, {}),
        (b"".join(fragments("漢".encode()[:2], b"")), 4 + 2, {}),
        (b"".join(fragments("漢".encode()[:1], b"", "漢".encode()[1:2])), 3 + 2 + 3, {}),
        (oracle.frame(9, b"\xa2").join(fragments("漢".encode()[:2], b"b")), 4 + 3 + 3, {}),
        (b"".join(fragments(b"", b"\x80")), 2 + 3, {}),
    ],
}


def breaches() -> list[Any]:
    return [pytest.param(rule, *case, id=f"{rule}-{i}") for rule, cases in BREACHES.items() for i, case in enumerate(cases)]


class TestRules:
    """What a broken rule looks like from outside."""

    def test_every_rule_of_a_reader_is_tested(self) -> None:
        from cwschannel.kernels.rules import RULES

        of_the_connection = {rule for rule in RULES if rule.startswith("close-")}
        assert len(of_the_connection) == 3
        assert set(BREACHES) == set(RULES) - of_the_connection

    @pytest.mark.parametrize(("rule", "data", "telling", "options"), breaches())
    def test_is_broken(self, kernels: Kernels, rule: str, data: bytes, telling: int, options: dict[str, Any]) -> None:
        options = {"masked": False, **options}
        key = KEY if options["masked"] else None
        good = b"".join(oracle.frame(opcode, payload, key=key) for opcode, payload in GOOD)
        before = [("text", "good é"), ("frame", 9, b"ping", True, 0), ("binary", b"fine")]
        after = oracle.frame(1, b"after", key=key) * 2
        code = oracle.CODES[rule]
        buffer = kernels.framing.ReadBuffer(70_000)

        for give in (give_by_feed, give_by_reads):
            # all in one read: what came before is delivered, what comes after is not
            reading = Reading(kernels, buffer, **options)
            give(reading, good + data + after)
            assert reading.items[:3] == before
            assert reading.items[-1] == ("breach", rule, code)
            assert [item[0] for item in reading.items].count("breach") == 1
            assert ("text", "after") not in reading.items
            found = list(reading.items)
            give(reading, after)
            give(reading, b"")
            assert reading.items == found

            # byte by byte: the byte that tells is known
            slow = Reading(kernels, buffer, **options)
            give(slow, good)
            for i in range(telling):
                assert ("breach", rule, code) not in slow.items, i
                give(slow, data[i : i + 1])
            assert slow.items == found
            for i in range(telling, min(len(data), telling + 20)):
                give(slow, data[i : i + 1])
            give(slow, after)
            assert slow.items == found

            # the telling bytes are enough when they come together
            early = Reading(kernels, buffer, **options)
            give(early, good)
            give(early, data[:telling])
            assert early.items == found

    @pytest.mark.parametrize(("rule", "data", "telling", "options"), breaches())
    def test_the_error(self, kernels: Kernels, rule: str, data: bytes, telling: int, options: dict[str, Any]) -> None:
        from cwschannel.exceptions import ProtocolError

        reader = kernels.framing.FrameReader(kernels.framing.ReadBuffer(16), **{"masked": False, **options})
        error = reader.feed(data)[-1]
        assert type(error) is ProtocolError
        assert error.rule == rule
        assert error.code == oracle.CODES[rule]
        text = str(error)
        assert text
        assert "{" not in text
        if rule == "message-too-big":
            assert str(options["max_message_size"]) in text
        if rule == "too-many-fragments":
            assert str(options["max_fragments"]) in text
        if rule == "reserved-opcode":
            assert hex(data[0] & 15) in text
        if rule == "reserved-bits":
            assert hex(data[0] & 0x70) in text

    def test_a_failed_reader_still_takes_reads(self, kernels: Kernels) -> None:
        reading = Reading(kernels, masked=False)
        reading.read(b"\xff\x00")
        for _ in range(3):
            assert reading.read(oracle.frame(1, b"after")) == 7
            assert reading.reader.only_messages is True
        assert reading.items == [("breach", "reserved-bits", 1002)]


class TestLimits:
    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("limit", [0, 1, 125, 126, 65535, 65536])
    def test_the_limit_itself_is_allowed(self, kernels: Kernels, masked: bool, limit: int) -> None:
        key = KEY if masked else None
        allowed = oracle.frame(2, bytes(limit), key=key)
        refused = oracle.frame(2, bytes(limit + 1), key=key)
        reading = Reading(kernels, kernels.framing.ReadBuffer(70_000), masked=masked, max_message_size=limit)
        reading.feed(allowed)
        reading.read_all(allowed)
        reading.feed(refused)
        assert reading.items == [("binary", bytes(limit))] * 2 + [("breach", "message-too-big", 1009)]

    def test_fragments_count_together_and_each_message_by_itself(self, kernels: Kernels) -> None:
        message = b"".join(fragments(bytes(4), b"", bytes(6)))
        reading = Reading(kernels, masked=False, max_message_size=10)
        reading.feed(message + oracle.frame(9, bytes(100)) + message + oracle.frame(2, bytes(10)) + message)
        assert "breach" not in {item[0] for item in reading.items}
        assert len(reading.items) == 3 * 3 + 2
        reading.feed(b"".join(fragments(bytes(4), b"", bytes(7))))
        assert reading.items[-3:] == [
            ("frame", 1, bytes(4), False, 0),
            ("frame", 0, b"", False, 0),
            ("breach", "message-too-big", 1009),
        ]

    @pytest.mark.parametrize("masked", [False, True])
    def test_a_header_is_enough(self, kernels: Kernels, masked: bool) -> None:
        key = KEY if masked else None
        for size in (2**20 + 1, 2**31, 2**32 + 1, 2**62, 2**63 - 1):
            head = oracle.header(1, size, key=key)
            for give in (give_by_feed, give_by_reads):
                reading = Reading(kernels, masked=masked, max_message_size=2**20)
                give(reading, head[:-1])
                assert reading.items == []
                give(reading, head[-1:])
                assert reading.items == [("breach", "message-too-big", 1009)]

    def test_sizes_that_add_up_to_more_than_64_bits(self, kernels: Kernels) -> None:
        reading = Reading(kernels, masked=False)
        reading.feed(fragments(bytes(300), b"")[0])
        reading.feed(oracle.header(0, 2**63 - 1))
        assert reading.items[1:] == [("breach", "message-too-big", 1009)]

    def test_memory_that_is_not_there_is_no_crash(self, compiled: Kernels) -> None:
        """Without a limit. Only the compiled reader takes memory in advance."""
        reading = Reading(compiled, masked=False)
        reading.feed(oracle.frame(1, b"before") + oracle.header(2, 2**47) + oracle.frame(1, b"after"))
        assert reading.items == [("text", "before"), ("breach", "no-memory", 1009)]

    def test_the_largest_limit(self, kernels: Kernels) -> None:
        reading = Reading(kernels, masked=False, max_message_size=2**63 - 1, max_fragments=2**63 - 1)
        reading.feed(sequence(False))
        assert reading.items == Conversation(sequence(False), False).expected()[0]

    def test_as_many_fragments_as_allowed(self, kernels: Kernels) -> None:
        """Those that wait for the last one are counted, and not the last one."""
        for parts in ([b"a", b"b", b"c", b"d"], [b"", b"", b"", b""]):
            message = oracle.frame(9).join(fragments(*parts))
            reading = Reading(kernels, masked=False, max_fragments=3)
            reading.feed(message * 3 + oracle.frame(1, b"whole") + message)
            assert "breach" not in {item[0] for item in reading.items}
            reading.feed(b"".join(fragments(*parts, b"")))
            assert reading.items[-1] == ("breach", "too-many-fragments", 1009)

    def test_a_whole_message_is_no_fragment(self, kernels: Kernels) -> None:
        reading = Reading(kernels, masked=False, max_fragments=0)
        reading.feed(oracle.frame(1, b"a") * 5 + oracle.frame(9) * 5)
        assert len(reading.items) == 10
        assert "breach" not in {item[0] for item in reading.items}


class TestText:
    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("text", ["é", "漢", "🎉", "aé漢🎉b"])
    def test_a_character_over_fragments(self, kernels: Kernels, masked: bool, text: str) -> None:
        raw = text.encode()
        key = KEY if masked else None
        ping = oracle.frame(9, b"\xff\xfe", key=key)  # what it holds is no text
        for i in range(len(raw) + 1):
            for j in range(i, len(raw) + 1):
                data = ping.join(fragments(raw[:i], raw[i:j], raw[j:], key=key))
                for parts in ([data], pieces(data, list(range(len(data))))):
                    check(kernels, Conversation(data, masked), parts)
        for i in range(1, len(raw)):
            cut = oracle.utf8_complete(raw[:i])
            data = b"".join(fragments(raw[:i], b"", key=key))
            reading = Reading(kernels, masked=masked)
            reading.feed(data)
            assert (reading.items[-1] == ("breach", "invalid-utf-8", 1007)) is not cut

    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("opening", ["whole", "fragment", "second fragment"])
    def test_the_first_bad_byte_of_an_unfinished_frame(self, kernels: Kernels, masked: bool, opening: str) -> None:
        key = KEY if masked else None
        for bad in (b"\xff", b"\x80", b"\xc0", b"\xf5", b"\xed\xa0", b"\xe0\x80", b"\xf0\x8f", b"\xf4\x90", b"\xc3a"):
            for ahead in (0, 1, 15, 16, 17, 40):
                payload = b"a" * ahead + bad + b"b" * 200
                frame = oracle.frame(0 if opening == "second fragment" else 1, payload, fin=opening == "whole", key=key)
                start = oracle.frame(1, "é".encode(), fin=False, key=key) if opening == "second fragment" else b""
                end = len(frame) - 200
                for give in (give_by_feed, give_by_reads):
                    reading = Reading(kernels, masked=masked)
                    give(reading, start)
                    before = list(reading.items)
                    give(reading, frame[: end - 1])
                    assert reading.items == before, (bad, ahead)
                    give(reading, frame[end - 1 : end])
                    assert reading.items == [*before, ("breach", "invalid-utf-8", 1007)], (bad, ahead)

    def test_binary_is_not_checked(self, kernels: Kernels) -> None:
        data = oracle.frame(2, b"\xff" * 50) + b"".join(fragments(b"\xff", b"\xfe" * 50, b"", opcode=2))
        for parts in ([data], pieces(data, list(range(len(data))))):
            check(kernels, Conversation(data, False), parts)

    def test_binary_after_text_and_text_after_binary(self, kernels: Kernels) -> None:
        texts, blobs = b"".join(fragments(b"a", b"b")), b"".join(fragments(b"\xff", b"\xff", opcode=2))
        data = texts + blobs + texts + oracle.frame(2, b"\xff") + blobs + oracle.frame(1, b"x") + blobs + texts
        for parts in ([data], pieces(data, list(range(len(data))))):
            check(kernels, Conversation(data, False), parts)
        reading = Reading(kernels, masked=False)
        reading.feed(data + b"".join(fragments(b"a", b"\xff")))
        assert reading.items[-1] == ("breach", "invalid-utf-8", 1007)


class TestReservedBits:
    """RSV1 where an extension was negotiated, such as that of RFC 7692."""

    @pytest.mark.parametrize("masked", [False, True])
    def test_a_frame_with_rsv1_is_handed_over_unchecked(self, kernels: Kernels, masked: bool) -> None:
        key = KEY if masked else None
        for opcode in (1, 2):
            for payload in (b"", b"\xff\xfe compressed", b"\xed\xa0" * 100):
                data = oracle.frame(opcode, payload, rsv=0x40, key=key) + oracle.frame(1, b"plain", key=key)
                for parts in ([data], pieces(data, list(range(len(data))))):
                    check(kernels, Conversation(data, masked, rsv=0x40), parts)
                reading = Reading(kernels, masked=masked, rsv=0x40)
                reading.feed(data)
                assert reading.items == [("frame", opcode, payload, True, 0x40), ("text", "plain")]

    def test_the_fragments_that_follow_are_not_checked_either(self, kernels: Kernels) -> None:
        data = b"".join(fragments(b"\xff", b"\xfe\xe6", b"\xff", rsv=0x40)) + b"".join(fragments(b"a", b"b"))
        for parts in ([data], pieces(data, list(range(len(data))))):
            check(kernels, Conversation(data, False, rsv=0x40), parts)
        reading = Reading(kernels, masked=False, rsv=0x40)
        reading.feed(data + oracle.frame(1, b"\xff"))
        assert reading.items == [
            ("frame", 1, b"\xff", False, 0x40),
            ("frame", 0, b"\xfe\xe6", False, 0),
            ("frame", 0, b"\xff", True, 0),
            ("frame", 1, b"a", False, 0),
            ("frame", 0, b"b", True, 0),
            ("breach", "invalid-utf-8", 1007),
        ]

    def test_text_without_the_bit_is_checked_all_the_same(self, kernels: Kernels) -> None:
        reading = Reading(kernels, masked=False, rsv=0x40)
        reading.feed(oracle.frame(1, b"\xff"))
        assert reading.items == [("breach", "invalid-utf-8", 1007)]

    @pytest.mark.parametrize("negotiated", [0x10, 0x20, 0x40, 0x30, 0x50, 0x60, 0x70])
    def test_only_the_negotiated_bits_are_allowed(self, kernels: Kernels, negotiated: int) -> None:
        for bits in range(0x10, 0x80, 0x10):
            reading = Reading(kernels, masked=False, rsv=negotiated)
            reading.feed(oracle.frame(2, b"x", rsv=bits))
            if bits & ~negotiated:
                assert reading.items == [("breach", "reserved-bits", 1002)]
            else:
                assert reading.items == [("frame", 2, b"x", True, bits)]

    def test_the_limits_hold_for_what_was_received(self, kernels: Kernels) -> None:
        reading = Reading(kernels, masked=False, rsv=0x40, max_message_size=5)
        reading.feed(oracle.frame(1, bytes(5), rsv=0x40) + b"".join(fragments(bytes(3), bytes(3), rsv=0x40)))
        assert [item[0] for item in reading.items] == ["frame", "frame", "breach"]
