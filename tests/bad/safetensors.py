"""Bad safetensors files, and odd ones that are good."""
import json
import os
import struct

import bad

PREFIX = 8


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def content(header, data=b"", length=None):
    """The bytes of a file; `header` is text, bytes, or what becomes JSON."""
    if isinstance(header, dict):
        header = json.dumps(header, separators=(",", ":"))
    if isinstance(header, str):
        header = header.encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def file_case(name, status, says, make, **more):
    """A case of one file whose bytes `make` gives, called only when the case runs."""
    bad.case(name, status, says, **more)(
        lambda folder: bad.write(folder / "a.safetensors", make()))


def header_case(name, status, says, header, data=b"", **more):
    file_case(name, status, says, lambda: content(header, data), **more)


# --- the prefix ---------------------------------------------------------------------------------

file_case("0 bytes", "TRUNCATED", "empty", lambda: b"")
for size in range(1, 8):
    file_case(f"{size} bytes", "TRUNCATED", "too few", lambda size=size: bytes(size), at=size)
file_case("header length 0", "FORMAT", "begin with '{'", lambda: content("{}", length=0), at=8)
file_case("header length 1", "FORMAT", "begin with '{'", lambda: content("{}", length=1), at=8)
file_case("header length 2^63", "TRUNCATED", "only 2 follow", lambda: content("{}", length=1 << 63),
          at=0)
file_case("header length 2^64-1", "TRUNCATED", "only 2 follow",
          lambda: content("{}", length=(1 << 64) - 1), at=0)
file_case("header length one too many", "TRUNCATED", "only 2 follow",
          lambda: content("{}", length=3), at=0)


@bad.case("header length 100,000,001 in a file that has them", "UNSUPPORTED",
          "the format allows 100000000", at=0)
def _(folder):
    return bad.sparse(folder / "a.safetensors", 200 << 20, content("{}", length=100_000_001))


@bad.case("header of 90 MB, all white space", "MEMORY", "limit")
def _(folder):
    path = folder / "a.safetensors"
    with open(path, "wb") as file:
        file.write(content("{", length=90_000_000))
        file.truncate(90_000_008)
    return path


header_case("header does not start with {", "FORMAT", "begin with '{'", " {}", at=8)
header_case("header is an array", "FORMAT", "begin with '{'", "[1]", at=8)
header_case("header is cut", "FORMAT", "not valid JSON", '{"a":', at=13)

# --- behind the header --------------------------------------------------------------------------

header_case("NUL padding instead of spaces", "OK", "",
            json.dumps({"a": entry("U8", [1], 0, 1)}) + "\0" * 13, b"\x07",
            tensors={"a": {"values": [7]}}, warns="padded with 13 NUL bytes")
header_case("spaces behind the JSON", "OK", "", json.dumps({"a": entry("U8", [1], 0, 1)}) + " \n\t ",
            b"\x07", tensors=1)
header_case("trailing bytes after JSON", "FORMAT", "behind its end", "{} x", at=11)
header_case("a second object after JSON", "FORMAT", "behind its end", "{}{}", at=10)
header_case("NUL padding, then more", "FORMAT", "behind its end", "{}\0\0{}")

# --- names --------------------------------------------------------------------------------------

one = entry("U8", [1], 0, 1)
text_of_one = json.dumps(one)
header_case("invalid UTF-8 in a name", "FORMAT", "UTF-8", b'{"\xff":' + text_of_one.encode() + b"}",
            b"\0", at=10)
header_case("overlong UTF-8 in a name", "FORMAT", "UTF-8",
            b'{"\xc0\xaf":' + text_of_one.encode() + b"}", b"\0")
header_case("a UTF-8 surrogate in a name", "FORMAT", "UTF-8",
            b'{"\xed\xa0\x80":' + text_of_one.encode() + b"}", b"\0")
header_case("lone high surrogate", "FORMAT", "surrogate", '{"\\ud800":' + text_of_one + "}", b"\0")
header_case("lone low surrogate", "FORMAT", "surrogate", '{"\\udc00":' + text_of_one + "}", b"\0")
header_case("NUL in a name", "FORMAT", "NUL", '{"a\\u0000b":' + text_of_one + "}", b"\0")
header_case("raw NUL in a name", "FORMAT", "control", '{"a\0b":' + text_of_one + "}", b"\0")
header_case("newline in a name", "FORMAT", "control characters", {"a\nb": one}, b"\0")
header_case("raw newline in a name", "FORMAT", "control character", '{"a\nb":' + text_of_one + "}",
            b"\0")
header_case("terminal escape in a name", "FORMAT", "control characters", {"\x1b[2J": one}, b"\0")
header_case("C1 control character in a name", "FORMAT", "control characters", {"\x9b2J": one}, b"\0")
header_case("1 MB name", "FORMAT", "over 1024 bytes", {"n" * (1 << 20): one}, b"\0")
header_case("empty name", "FORMAT", "empty", {"": one}, b"\0")
header_case("names that differ only by case", "OK", "",
            {"A": entry("U8", [1], 0, 1), "a": entry("U8", [1], 1, 2)}, b"\1\2",
            tensors={"A": {"values": [1]}, "a": {"values": [2]}})
header_case("names that differ only by Unicode form", "OK", "",
            {"\u00e9": entry("U8", [1], 0, 1), "e\u0301": entry("U8", [1], 1, 2)}, b"\1\2", tensors=2)
header_case("duplicate names for the same bytes", "FORMAT", "overlaps",
            f'{{"a":{text_of_one},"a":{text_of_one}}}', b"\0", item="a")
header_case("duplicate names", "FORMAT", "twice",
            '{"a":%s,"a":%s}' % (text_of_one, json.dumps(entry("U8", [1], 1, 2))), b"\0\0", item="a")
header_case("duplicate names, both empty", "FORMAT", "twice",
            '{"a":%s,"a":%s}' % ((json.dumps(entry("U8", [0], 0, 0)),) * 2), item="a")
header_case("duplicate names by an escape", "FORMAT", "twice",
            '{"a":%s,"\\u0061":%s}' % ((json.dumps(entry("U8", [0], 0, 0)),) * 2), item="a")
header_case("duplicate keys inside a tensor", "FORMAT", "same key twice",
            '{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"\0", item="a")
header_case("another key inside a tensor", "FORMAT", "other keys",
            '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":0}}', b"\0", item="a")

# --- values -------------------------------------------------------------------------------------

for brackets in ("[", '{"a":'):
    file_case(f"nesting 10^6 deep of {brackets}", "FORMAT", "object" if brackets == "[" else "other",
              lambda brackets=brackets: content('{"a":' + brackets * 1_000_000))
    file_case(f"nesting 10^6 deep of {brackets} in the metadata", "FORMAT", "not a string",
              lambda brackets=brackets: content('{"__metadata__":{"a":' + brackets * 1_000_000))
for number in ("1e400", "-1", "1.5", "18446744073709551616", "9223372036854775808", "1e0", "-0.0",
               '"1"', "null", "[]", "true"):
    header_case(f"dimension {number}", "FORMAT", "whole number",
                '{"a":{"dtype":"U8","shape":[%s],"data_offsets":[0,1]}}' % number, b"\0", item="a")
    header_case(f"offset {number}", "FORMAT", "data_offsets",
                '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,%s]}}' % number, b"\0", item="a")
for number in ("01", "+1", ".5", "1.", "0x1", "1e", "NaN", "Infinity", "--1"):
    header_case(f"dimension {number}, which is not JSON", "FORMAT", "",
                '{"a":{"dtype":"U8","shape":[%s],"data_offsets":[0,1]}}' % number, b"\0")
header_case("unknown dtype", "UNSUPPORTED", "'Q9'", {"a": entry("Q9", [1], 0, 1)}, b"\0", item="a")
header_case("dtype of another format", "UNSUPPORTED", "'Q4_0'", {"a": entry("Q4_0", [32], 0, 18)},
            bytes(18), item="a")
header_case("dtype is a number", "FORMAT", "no dtype",
            {"a": {"dtype": 1, "shape": [1], "data_offsets": [0, 1]}}, b"\0", item="a")
header_case("missing dtype", "FORMAT", "no dtype", {"a": {"shape": [1], "data_offsets": [0, 1]}},
            b"\0", item="a")
header_case("missing shape", "FORMAT", "no shape", {"a": {"dtype": "U8", "data_offsets": [0, 1]}},
            b"\0", item="a")
header_case("missing data_offsets", "FORMAT", "no data_offsets",
            {"a": {"dtype": "U8", "shape": [1]}}, b"\0", item="a")
header_case("a tensor that is no object", "FORMAT", "object", {"a": 1}, item="a")

# --- offsets ------------------------------------------------------------------------------------

header_case("data_offsets reversed", "FORMAT", "data_offsets", {"a": entry("U8", [1], 1, 0)}, b"\0",
            item="a")
header_case("data_offsets of length 1", "FORMAT", "data_offsets",
            {"a": {"dtype": "U8", "shape": [1], "data_offsets": [1]}}, b"\0", item="a")
header_case("data_offsets of length 3", "FORMAT", "data_offsets",
            {"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 2]}}, b"\0", item="a")
header_case("data_offsets overlapping", "FORMAT", "overlaps",
            {"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 2, 6)}, bytes(6), item="b")
header_case("data_offsets the same", "FORMAT", "overlaps",
            {"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 0, 4)}, bytes(4), item="b")
header_case("data_offsets with a hole", "FORMAT", "hole",
            {"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 5, 9)}, bytes(9), item="b")
header_case("a hole in front of the first", "FORMAT", "hole", {"a": entry("U8", [4], 1, 5)}, bytes(5),
            item="a")
header_case("data_offsets past the end", "TRUNCATED", "ends at byte 8", {"a": entry("F32", [2], 0, 8)},
            bytes(7), item="a")
header_case("data_offsets near 2^63", "TRUNCATED", "ends at byte",
            {"a": entry("U8", [16], (1 << 63) - 17, (1 << 63) - 1)}, bytes(7), item="a")
header_case("fewer bytes than the shape needs", "FORMAT", "has 7 bytes; its shape and dtype need 8",
            {"a": entry("F32", [2], 0, 7)}, bytes(7), item="a")
header_case("data shorter than the header says", "TRUNCATED", "cut off",
            {"a": entry("F32", [1024], 0, 4096)}, bytes(4000), item="a")
header_case("data longer than the header says", "FORMAT", "9 bytes at the end belong to no tensor",
            {"a": entry("F32", [2], 0, 8)}, bytes(17))
header_case("data without a tensor", "FORMAT", "1 bytes at the end", "{}", b"\0")

# --- shapes -------------------------------------------------------------------------------------

header_case("shape [2^32, 2^32]", "OVERFLOW", "does not fit",
            {"a": entry("U8", [1 << 32, 1 << 32], 0, 0)}, item="a")
header_case("shape [2^32, 2^32] of F64 whose bytes wrap", "OVERFLOW", "does not fit",
            {"a": entry("F64", [1 << 61], 0, 0)}, item="a")
header_case("shape [0, 2^63]", "FORMAT", "below 2^63", '{"a":{"dtype":"U8","shape":[0,%d],'
            '"data_offsets":[0,0]}}' % (1 << 63), item="a")
header_case("shape [0, 2^62, 2^62]", "OVERFLOW", "does not fit",
            {"a": entry("U8", [0, 1 << 62, 1 << 62], 0, 0)}, item="a")
header_case("shape [2^62, 2^62, 0]", "OVERFLOW", "does not fit",
            {"a": entry("U8", [1 << 62, 1 << 62, 0], 0, 0)}, item="a")
header_case("65 dimensions", "UNSUPPORTED", "more than 8 dimensions",
            {"a": entry("U8", [1] * 65, 0, 1)}, b"\0", item="a")
header_case("9 dimensions", "UNSUPPORTED", "more than 8 dimensions",
            {"a": entry("U8", [1] * 9, 0, 1)}, b"\0", item="a")
header_case("8 dimensions", "OK", "", {"a": entry("U8", [1] * 8, 0, 1)}, b"\3",
            tensors={"a": {"shape": [1] * 8, "values": [3]}})
header_case("a scalar", "OK", "", {"a": entry("F32", [], 0, 4)}, struct.pack("<f", 1.5),
            tensors={"a": {"shape": [], "values": [1.5]}})
header_case("F4 with an odd count", "FORMAT", "whole bytes", {"a": entry("F4", [3], 0, 2)}, bytes(2),
            item="a")
header_case("F4 with an even count is listed", "OK", "", {"a": entry("F4", [2, 3], 0, 3)}, bytes(3),
            tensors={"a": {"readable": False, "number": "F4", "bytes": 3}})
header_case("F6 whose count does not fill whole bytes", "FORMAT", "whole bytes",
            {"a": entry("F6_E2M3", [6], 0, 5)}, bytes(5), item="a")
header_case("F6 is listed", "OK", "",
            {"a": entry("F6_E2M3", [8], 0, 6), "b": entry("F6_E3M2", [4], 6, 9)}, bytes(9),
            tensors={"a": {"readable": False, "bytes": 6}, "b": {"readable": False, "bytes": 3}})

# --- number formats -----------------------------------------------------------------------------

NUMBERS = {
    "F64": (struct.pack("<d", -2.5), -2.5), "F32": (struct.pack("<f", -2.5), -2.5),
    "F16": (struct.pack("<e", -2.5), -2.5), "BF16": (b"\x20\xc0", -2.5),
    "F8_E4M3": (b"\xc2", -2.5), "F8_E5M2": (b"\xc1", -2.5), "F8_E8M0": (b"\x80", 2.0),
    "F8_E4M3FNUZ": (b"\xca", -2.5), "F8_E5M2FNUZ": (b"\xc5", -2.5),
    "I64": (struct.pack("<q", -3), -3), "I32": (struct.pack("<i", -3), -3),
    "I16": (struct.pack("<h", -3), -3), "I8": (struct.pack("<b", -3), -3),
    "U64": (struct.pack("<Q", 3), 3), "U32": (struct.pack("<I", 3), 3),
    "U16": (struct.pack("<H", 3), 3), "U8": (struct.pack("<B", 3), 3), "BOOL": (b"\1", 1),
}
for number, (raw, value) in NUMBERS.items():
    header_case(f"number format {number}", "OK", "", {"a": entry(number, [1], 0, len(raw))}, raw,
                tensors={"a": {"number": number, "values": [value], "readable": True}})
header_case("number format C64 is listed", "OK", "", {"a": entry("C64", [1], 0, 8)}, bytes(8),
            tensors={"a": {"number": "C64", "readable": False}})
header_case("elements that are not aligned in the file", "OK", "",
            {"a": entry("U8", [1], 0, 1), "b": entry("F64", [1], 1, 9), "c": entry("F32", [1], 9, 13)},
            b"\1" + struct.pack("<d", 2.5) + struct.pack("<f", 3.5),
            tensors={"a": {"values": [1]}, "b": {"values": [2.5]}, "c": {"values": [3.5]}})
header_case("F8 weights with a *_scale_inv sibling", "OK", "",
            {"w.weight": entry("F8_E4M3", [2, 2], 0, 4),
             "w.weight_scale_inv": entry("F32", [1, 1], 4, 8)},
            b"\x38\x40\xb8\xc0" + struct.pack("<f", 10.0),
            tensors={"w.weight": {"values": [10, 20, -10, -20], "scale": "w.weight_scale_inv"},
                     "w.weight_scale_inv": {"values": [10], "scale": None}})
header_case("F8 weights with a scale that does not fit", "OK", "",
            {"w.weight": entry("F8_E4M3", [2, 2], 0, 4),
             "w.weight_scale_inv": entry("F32", [3, 5], 4, 64)}, bytes(64),
            tensors={"w.weight": {"readable": False}, "w.weight_scale_inv": {"readable": True}})

# --- metadata -----------------------------------------------------------------------------------

header_case("metadata", "OK", "", {"__metadata__": {"format": "pt", "x": "\"\u00e9\U0001f600\""}},
            metadata={"format": "pt", "x": "\"\u00e9\U0001f600\""}, tensors=0)
header_case("__metadata__ with a number", "FORMAT", "not a string", {"__metadata__": {"a": 1}},
            item="__metadata__")
header_case("__metadata__ with an object", "FORMAT", "not a string", {"__metadata__": {"a": {}}},
            item="__metadata__")
header_case("__metadata__ is an array", "FORMAT", "not an object", {"__metadata__": []},
            item="__metadata__")
header_case("__metadata__ twice", "FORMAT", "twice", '{"__metadata__":{},"__metadata__":{}}',
            item="__metadata__")
header_case("__metadata__ with a key twice", "FORMAT", "twice",
            '{"__metadata__":{"a":"b","c":"d","a":"b"}}', item="__metadata__")

# --- many ---------------------------------------------------------------------------------------


def empty_tensors(count):
    parts = ",".join('"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % i for i in range(count))
    return content("{" + parts + "}")


file_case("10^6 empty tensors, in 64 MiB", "MEMORY", "limit", lambda: empty_tensors(1_000_000),
          ms=400)  # a file of 55 MB
file_case("10^6 empty tensors, in 512 MiB", "OK", "", lambda: empty_tensors(1_000_000),
          tensors=1_000_000, budget=512 << 20, ms=4000)
file_case("10,000 tensors", "OK", "", lambda: empty_tensors(10_000), tensors=10_000)
file_case("a tensor of a terabyte that is not there", "TRUNCATED", "ends at byte",
          lambda: content({"a": entry("F32", [1 << 38], 0, 1 << 40)}, bytes(64)), item="a")


@bad.case("a tensor of a terabyte that is there", "OK", tensors=1, arguments=["--no-read"])
def _(folder):
    return bad.sparse(folder / "a.safetensors", PREFIX + len(json.dumps(HUGE)) + (1 << 40),
                      content(json.dumps(HUGE)))


HUGE = {"a": entry("F32", [1 << 38], 0, 1 << 40)}

# --- the file itself ----------------------------------------------------------------------------


def good(folder):
    return bad.write(folder / "a.safetensors",
                     content({"a": entry("F32", [4096], 0, 16384)}, bytes(16384)))


bad.case("file cut while open", "TRUNCATED", item="a",
         arguments=["--cut", "{folder}/a.safetensors", "1000"])(good)
bad.case("file cut to nothing while open", "TRUNCATED", item="a",
         arguments=["--cut", "{folder}/a.safetensors", "0"])(good)


@bad.case("no such file", "NOT_FOUND")
def _(folder):
    return folder / "none.safetensors"


@bad.case("a FIFO", "FILE", "pipe")
def _(folder):
    os.mkfifo(folder / "a.safetensors")
    return folder / "a.safetensors"


@bad.case("a device", "FILE", "device")
def _(folder):
    return "/dev/zero"


@bad.case("a link to itself", "FILE")
def _(folder):
    os.symlink("a.safetensors", folder / "a.safetensors")
    return folder / "a.safetensors"


bad.main()
