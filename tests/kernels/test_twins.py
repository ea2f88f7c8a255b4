"""The compiled and the pure kernels are twins: same names, same signatures, same results, same refusals.

Nothing here names a kernel's function more than it must: what is public in one is looked up in the other, and a public
name without an example to call it with fails.
"""

from __future__ import annotations

import array
import base64
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwschannel.exceptions import ProtocolError
from cwschannel.kernels.frame import Frame

from . import oracle, twins
from .generated import Conversation, conversations, cuts, keys, nearly_texts, pieces, texts

if TYPE_CHECKING:
    from collections.abc import Callable

    from .twins import Kernels

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def public(module: Any) -> dict[str, Any]:
    return {name: getattr(module, name) for name in module.__all__}


def members(cls: type) -> dict[str, Any]:
    return {name: inspect.getattr_static(cls, name) for name in dir(cls) if not name.startswith("_")}


def callables(kernels: Kernels) -> dict[str, Any]:
    """Everything public that can be called: "masking.mask", "utf8.Utf8Validator", "utf8.Utf8Validator.feed", ..."""
    found = {}
    for module_name in twins.MODULES:
        for name, thing in public(getattr(kernels, module_name)).items():
            found[f"{module_name}.{name}"] = thing
            if inspect.isclass(thing):
                for member, value in members(thing).items():
                    if callable(value):
                        found[f"{module_name}.{name}.{member}"] = value
    return found


PURE = callables(twins.load("pure"))
CLASSES = [path for path, thing in PURE.items() if inspect.isclass(thing)]
FUNCTIONS = [path for path in PURE if path not in CLASSES]


def reader(kernels: Kernels, size: int = 64, masked: bool = False, **options: Any) -> Any:
    return kernels.framing.FrameReader(kernels.framing.ReadBuffer(size), masked, **options)


# For each public callable: how to get at it, and arguments that it accepts.
EXAMPLES: dict[str, tuple[Callable[[Kernels], Any], Callable[[Kernels], dict[str, Any]]]] = {
    "framing.encode_frame": (
        lambda k: k.framing.encode_frame,
        lambda k: {"opcode": 1, "payload": "é", "masked": False, "fin": True, "rsv": 0x40},
    ),
    "framing.encode_message": (lambda k: k.framing.encode_message, lambda k: {"message": "é"}),
    "framing.encode_masked_message": (lambda k: k.framing.encode_masked_message, lambda k: {"message": b"x"}),
    "framing.encode_header": (lambda k: k.framing.encode_header, lambda k: {"opcode": 2, "size": 70000}),
    "framing.ReadBuffer": (lambda k: k.framing.ReadBuffer, lambda k: {"size": 64}),
    "framing.FrameReader": (
        lambda k: k.framing.FrameReader,
        lambda k: {
            "buffer": k.framing.ReadBuffer(64),
            "masked": True,
            "max_message_size": 10,
            "max_fragments": 10,
            "rsv": 0x40,
        },
    ),
    "framing.FrameReader.get_buffer": (lambda k: reader(k).get_buffer, lambda k: {"hint": 5}),
    "framing.FrameReader.received": (lambda k: reader(k).received, lambda k: {"size": 0}),
    "framing.FrameReader.feed": (lambda k: reader(k).feed, lambda k: {"data": b"\x81\x01a"}),
    "framing.FrameReader.discard": (lambda k: reader(k).discard, lambda k: {}),
    "masking.mask": (lambda k: k.masking.mask, lambda k: {"data": b"data", "key": b"abcd", "offset": 1}),
    "masking.mask_in_place": (
        lambda k: k.masking.mask_in_place,
        lambda k: {"buffer": bytearray(b"data"), "key": b"abcd", "offset": 1},
    ),
    "masking.mask_key": (lambda k: k.masking.mask_key, lambda k: {}),
    "signing.sign_key": (lambda k: k.signing.sign_key, lambda k: {"key": KEY}),
    "utf8.Utf8Validator": (lambda k: k.utf8.Utf8Validator, lambda k: {}),
    "utf8.Utf8Validator.feed": (lambda k: k.utf8.Utf8Validator().feed, lambda k: {"data": b"text"}),
    "utf8.Utf8Validator.is_complete": (lambda k: k.utf8.Utf8Validator().is_complete, lambda k: {}),
}


def told(value: Any) -> Any:
    """A result in a form in which those of the two twins can be compared, types and all."""
    if type(value).__module__.startswith("cwschannel.kernels."):
        name = type(value).__name__
        return (name, told(value.size)) if name == "ReadBuffer" else (name,) if name != "Frame" else ("Frame", *value)
    if isinstance(value, ProtocolError):
        return type(value).__name__, value.code, value.rule, str(value)
    if isinstance(value, memoryview):
        return "memoryview", value.format, value.shape, value.readonly
    if isinstance(value, list):
        return [told(item) for item in value]
    return type(value).__name__, value


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[str, Any]:
    """What came of a call: the result, or the type of what was raised."""
    try:
        value = function(*args, **kwargs)
    except Exception as error:
        return "raised", type(error).__name__
    return "returned", told(value)


# --- what there is ---------------------------------------------------------------------------------------------------


def test_the_same_modules(compiled: Kernels, pure: Kernels) -> None:
    found = {}
    for name in twins.NAMES:
        package = importlib.import_module(f"cwschannel.kernels.{name}")
        found[name] = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert found["compiled"] == found["pure"] == set(twins.MODULES)


def test_the_same_source_files() -> None:
    directory = Path(__file__).parents[2] / "cwschannel" / "kernels"
    found = {
        name: {path.stem for path in (directory / name).glob(f"*.{suffix}")} - {"__init__"}
        for name, suffix in (("compiled", "pyx"), ("pure", "py"))
    }
    assert found["compiled"] == found["pure"] == set(twins.MODULES)


def test_each_is_what_it_is_called(compiled: Kernels, pure: Kernels) -> None:
    """The compiled modules are extension modules, and the pure ones are not."""
    for name in twins.MODULES:
        assert not getattr(compiled, name).__file__.endswith(".py")
        assert getattr(pure, name).__file__.endswith(".py")


@pytest.mark.parametrize("module", twins.MODULES)
def test_the_same_public_names(compiled: Kernels, pure: Kernels, module: str) -> None:
    ours, theirs = getattr(compiled, module), getattr(pure, module)
    assert ours.__all__ == theirs.__all__
    for name, thing in public(theirs).items():
        assert inspect.isclass(getattr(ours, name)) is inspect.isclass(thing), name
        assert getattr(ours, name).__name__ == name
        if inspect.isclass(thing):
            assert sorted(members(getattr(ours, name))) == sorted(members(thing)), name


def test_the_package_offers_them_all() -> None:
    from cwschannel import kernels

    names = {name for module in twins.MODULES for name in public(getattr(twins.load("pure"), module))}
    assert set(kernels.__all__) == names | {"COMPILED", "WHY_PURE"}
    used = twins.load("compiled" if kernels.COMPILED else "pure")
    for module in twins.MODULES:
        for name, thing in public(getattr(used, module)).items():
            assert getattr(kernels, name) is thing, name


@pytest.mark.parametrize("path", FUNCTIONS)
def test_the_same_signature(compiled: Kernels, path: str) -> None:
    ours, theirs = (inspect.signature(thing) for thing in (callables(compiled)[path], PURE[path]))
    assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
        (p.name, p.kind, p.default) for p in theirs.parameters.values()
    ]
    assert [str(p.annotation) for p in ours.parameters.values()] == [str(p.annotation) for p in theirs.parameters.values()]
    assert str(ours.return_annotation) == str(theirs.return_annotation)
    assert theirs.return_annotation is not inspect.Signature.empty


@pytest.mark.parametrize("path", [*twins.MODULES, *PURE])
def test_the_same_docstring(compiled: Kernels, path: str) -> None:
    things = {**callables(compiled), **{name: getattr(compiled, name) for name in twins.MODULES}}
    pure = {**PURE, **{name: getattr(twins.load("pure"), name) for name in twins.MODULES}}
    assert pure[path].__doc__
    assert inspect.cleandoc(things[path].__doc__ or "") == inspect.cleandoc(pure[path].__doc__)


# --- how they are called ---------------------------------------------------------------------------------------------


def test_everything_public_has_an_example() -> None:
    assert sorted(EXAMPLES) == sorted(PURE)
    pure = twins.load("pure")
    for path, (_, arguments) in EXAMPLES.items():
        parameters = [p for p in inspect.signature(PURE[path]).parameters if p != "self"]
        assert list(arguments(pure)) == parameters, path


def without_keys(path: str, result: tuple[str, Any]) -> tuple[str, Any]:
    """The same without what is random in it."""
    if path == "masking.mask_key" and result[0] == "returned":
        return "returned", (result[1][0], len(result[1][1]))
    if path.startswith("framing.encode_") and result[0] == "returned" and result[1][1][1] & 0x80:
        frame = result[1][1]
        return "returned", (result[1][0], frame[:2], oracle.mask(frame[6:], frame[2:6]))
    return result


def same(compiled: Kernels, pure: Kernels, path: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The example with its arguments changed ends in the same way on both."""
    function, arguments = EXAMPLES[path]
    ours, theirs = (outcome(function(k), **change(arguments(k))) for k in (compiled, pure))
    assert without_keys(path, ours) == without_keys(path, theirs)


@pytest.mark.parametrize("path", PURE)
def test_arguments_by_name_and_by_place(compiled: Kernels, pure: Kernels, path: str) -> None:
    function, arguments = EXAMPLES[path]
    for kernels in (compiled, pure):
        assert outcome(function(kernels), **arguments(kernels))[0] == "returned"
        assert outcome(function(kernels), *arguments(kernels).values())[0] == "returned"
    same(compiled, pure, path, lambda kwargs: kwargs)


@pytest.mark.parametrize("path", PURE)
def test_arguments_that_are_missing_or_too_many(compiled: Kernels, pure: Kernels, path: str) -> None:
    function, arguments = EXAMPLES[path]
    for kernels in (compiled, pure):
        assert outcome(function(kernels), **arguments(kernels), surplus=1) == ("raised", "TypeError")
        assert outcome(function(kernels), *arguments(kernels).values(), 1) == ("raised", "TypeError")
    for name in arguments(pure):
        same(compiled, pure, path, lambda kwargs, name=name: {k: v for k, v in kwargs.items() if k != name})


class Number(int):
    """An int of a subclass, such as an enum's."""


class Word(str):
    """A str of a subclass, such as an enum's."""

    __slots__ = ()


class Octets(bytes):
    """Bytes of a subclass."""


ODD: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "float": lambda: 1.5,
    "whole float": lambda: 1.0,
    "str": lambda: "text",
    "wide str": lambda: "漢字",
    "empty str": lambda: "",
    "subclass of str": lambda: Word("é"),
    "bytes": lambda: b"byte",
    "subclass of bytes": lambda: Octets(b"byte"),
    "bytearray": lambda: bytearray(b"byte"),
    "memoryview": lambda: memoryview(b"byte"),
    "scattered memoryview": lambda: memoryview(bytearray(b"b.y.t.e."))[::2],
    "array": lambda: array.array("I", [1, 2]),
    "list": lambda: [1, 2],
    "object": object,
    "class": lambda: bytes,
    "0": lambda: 0,
    "-1": lambda: -1,
    "subclass of int": lambda: Number(1),
    "2**31-1": lambda: 2**31 - 1,
    "2**63": lambda: 2**63,
    "2**64": lambda: 2**64,
    "-2**70": lambda: -(2**70),
    "2**70": lambda: 2**70,
}
PLACES = [(path, name) for path, (_, arguments) in EXAMPLES.items() for name in arguments(twins.load("pure"))]


def too_large(path: str, value: Any) -> bool:
    return path == "framing.ReadBuffer" and isinstance(value, int) and 2**30 <= value < 2**62


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(("path", "parameter"), PLACES)
def test_odd_arguments(compiled: Kernels, pure: Kernels, path: str, parameter: str, odd: str) -> None:
    """An argument of another type, or out of range, is taken by both in the same way or refused with the same type."""
    if not too_large(path, ODD[odd]()):
        same(compiled, pure, path, lambda kwargs: {**kwargs, parameter: ODD[odd]()})


# --- what they do ----------------------------------------------------------------------------------------------------


@given(data=st.binary(max_size=400), key=st.binary(min_size=3, max_size=5), offset=st.integers(-(2**65), 2**65))
def test_masking(compiled: Kernels, pure: Kernels, data: bytes, key: bytes, offset: int) -> None:
    assert outcome(compiled.masking.mask, data, key, offset) == outcome(pure.masking.mask, data, key, offset)
    ours, theirs = bytearray(data), bytearray(data)
    assert outcome(compiled.masking.mask_in_place, ours, key, offset) == outcome(
        pure.masking.mask_in_place, theirs, key, offset
    )
    assert ours == theirs


@given(
    payload=st.one_of(texts, st.text(alphabet=st.characters(codec=None), max_size=5), st.binary(max_size=300)),
    opcode=st.integers(-2, 20),
    fin=st.booleans(),
    rsv=st.one_of(st.sampled_from([0, 0x10, 0x20, 0x40, 0x70]), st.integers(-2, 300)),
)
def test_encoding(compiled: Kernels, pure: Kernels, payload: str | bytes, opcode: int, fin: bool, rsv: int) -> None:
    ours, theirs = (outcome(k.framing.encode_frame, opcode, payload, False, fin, rsv) for k in (compiled, pure))
    assert ours == theirs
    ours, theirs = (outcome(k.framing.encode_frame, opcode, payload, True, fin, rsv) for k in (compiled, pure))
    assert ours[0] == theirs[0]
    if ours[0] == "raised":
        assert ours == theirs
    else:
        # The bytes differ by their keys: what can be compared is what each makes of the other's.
        for one, other in ((ours, pure), (theirs, compiled)):
            got = reader(other, masked=True, rsv=0x70).feed(one[1][1])
            plain = oracle.frame(opcode, payload.encode() if isinstance(payload, str) else payload, fin, rsv)
            assert told(got) == told(reader(other, rsv=0x70).feed(plain))


@given(
    key=st.one_of(
        st.binary(min_size=15, max_size=17).map(lambda raw: base64.b64encode(raw).decode()),
        st.text(alphabet="aZ09+/=-_ é", min_size=22, max_size=25),
    )
)
def test_signing(compiled: Kernels, pure: Kernels, key: str) -> None:
    assert outcome(compiled.signing.sign_key, key) == outcome(pure.signing.sign_key, key)


@given(data=st.one_of(nearly_texts, texts.map(str.encode), st.binary(max_size=30)), cuts=cuts)
def test_utf8(compiled: Kernels, pure: Kernels, data: bytes, cuts: list[int]) -> None:
    ours, theirs = compiled.utf8.Utf8Validator(), pure.utf8.Utf8Validator()
    for piece in pieces(data, cuts):
        assert outcome(ours.feed, piece) == outcome(theirs.feed, piece)
        assert outcome(ours.is_complete) == outcome(theirs.is_complete)


@given(case=conversations(), cuts=cuts, size=st.sampled_from([1, 16, 4096]), reads=st.booleans())
def test_reading(compiled: Kernels, pure: Kernels, case: Conversation, cuts: list[int], size: int, reads: bool) -> None:
    """Same items, with the same words in the errors, after every piece."""
    buffers = [k.framing.ReadBuffer(size) for k in (compiled, pure)]
    readers = [k.framing.FrameReader(buffer, **case.options()) for k, buffer in zip((compiled, pure), buffers, strict=True)]
    for piece in pieces(case.data, cuts):
        for i in range(0, len(piece), size) if reads else [0]:
            got = []
            for one, buffer in zip(readers, buffers, strict=True):
                if reads:
                    part = piece[i : i + size]
                    one.get_buffer()[: len(part)] = part
                    got.append((outcome(one.received, len(part)), one.only_messages))
                    buffer.view[:] = bytes(size)
                else:
                    got.append((outcome(one.feed, piece), one.only_messages))
            assert got[0] == got[1]


@given(case=conversations(), sizes=st.lists(st.integers(-2, 70), max_size=10))
def test_reading_more_than_was_read(compiled: Kernels, pure: Kernels, case: Conversation, sizes: list[int]) -> None:
    readers = [reader(k, **case.options()) for k in (compiled, pure)]
    for i, size in enumerate(sizes):
        got = []
        for one in readers:
            view = one.get_buffer()
            part = case.data[40 * i :][: len(view)]
            view[: len(part)] = part
            got.append(outcome(one.received, size))
            view[:] = bytes(64)
        assert got[0] == got[1]


def test_frames_are_of_one_type(compiled: Kernels, pure: Kernels) -> None:
    for kernels in (compiled, pure):
        (frame,) = reader(kernels).feed(oracle.frame(9, b"x"))
        assert type(frame) is Frame
        assert frame == Frame(9, b"x", True, 0)


@given(key=keys, data=st.binary(max_size=50))
def test_what_one_writes_the_other_reads(compiled: Kernels, pure: Kernels, key: bytes, data: bytes) -> None:
    for one, other in ((compiled, pure), (pure, compiled)):
        assert other.masking.mask(one.masking.mask(data, key), key) == data
        for masked in (False, True):
            assert reader(other, masked=masked).feed(one.framing.encode_frame(2, data, masked)) == [data]


# --- which of them is tested -----------------------------------------------------------------------------------------


def test_a_build_that_is_missing_is_an_error_unless_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "has_compiler", lambda: True)
    monkeypatch.setitem(sys.modules, "cwschannel.kernels.compiled.framing", None)
    for value in ("", "0"):
        monkeypatch.setenv("CWSCHANNEL_PURE", value)
        assert twins.left_out("compiled") is None
        with pytest.raises(ImportError):
            twins.load("compiled")
    monkeypatch.setenv("CWSCHANNEL_PURE", "1")
    assert str(twins.left_out("compiled")).startswith("the compiled kernels are left out: ")
    assert twins.left_out("pure") is None
    monkeypatch.setenv("CWSCHANNEL_PURE", "0")
    monkeypatch.setattr(twins, "has_compiler", lambda: False)
    assert "there is no working C compiler" in str(twins.left_out("compiled"))
