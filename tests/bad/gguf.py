"""Bad GGUF files, and odd ones that are good."""
import struct

import bad

F32, F16, Q4_0, Q4_2, Q8_0, Q4_K, IQ4_NL, F64, Q4_0_4_4 = 0, 1, 2, 4, 8, 12, 20, 28, 31
U8, U32, BOOL, STRING, ARRAY, U64 = 0, 4, 7, 8, 9, 10
VALUES = struct.pack("<4f", 1, 2, 3, 4)


def text(content):
    content = content if isinstance(content, bytes) else content.encode()
    return struct.pack("<Q", len(content)) + content


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def record(name="w", sizes=(4,), kind=F32, offset=0, dims=None):
    """Sizes innermost first, as the format has them."""
    return text(name) + struct.pack("<I", len(sizes) if dims is None else dims) \
        + b"".join(struct.pack("<Q", size & (1 << 64) - 1) for size in sizes) \
        + struct.pack("<IQ", kind & 0xffffffff, offset)


def gguf(pairs=(), records=None, data=VALUES, version=3, alignment=32, tensors=None, count=None,
         magic=b"GGUF"):
    records = (record(),) if records is None else records
    head = magic + struct.pack("<I", version) \
        + struct.pack("<Q", (len(records) if tensors is None else tensors) & (1 << 64) - 1) \
        + struct.pack("<Q", (len(pairs) if count is None else count) & (1 << 64) - 1)
    head += b"".join(pairs) + b"".join(records)
    return head + bytes(-len(head) % alignment) + data


def case(name, status, says="", **more):
    """Registers a file of gguf's arguments; those of bad.case are taken out."""
    own = {key: more.pop(key) for key in ("item", "at", "tensors_found", "warns", "metadata", "kind",
                                          "ms") if key in more}
    if "tensors_found" in own:
        own["tensors"] = own.pop("tensors_found")
    raw = more.pop("raw", None)
    bad.case(name, status, says, **own)(
        lambda folder: bad.write(folder / "a.gguf", raw if raw is not None else gguf(**more)))


def record_case(name, status, says, *records, **more):
    case(name, status, says, records=records, **more)


# --- the header ---------------------------------------------------------------------------------

@bad.case("over 14 GB, with as many tensors as '{' has in ASCII", "OK", tensors=123,
          warns="follow the last")
def _(folder):
    records = [record(f"w{i}", (8,), offset=32 * i) for i in range(123)]
    return bad.sparse(folder / "a.gguf", 0x347000000, gguf(records=records, data=b""))


case("version 0", "FORMAT", "version 0", version=0, at=4)
case("version 1", "UNSUPPORTED", "version 1", version=1, at=4)
case("version 2", "OK", version=2, kind="GGUF",
     tensors_found={"w": {"values": [1, 2, 3, 4], "shape": [4], "number": "F32"}})
case("version 4", "VERSION", "version 4", version=4, at=4)
case("version 2^32-1", "VERSION", "version 4294967295", version=0xffffffff)
case("byte-swapped, version 3", "UNSUPPORTED", "big-endian", version=0x03000000, at=4)
case("byte-swapped magic", "UNSUPPORTED", "byte-swapped", magic=b"FUGG", at=0)
for size in range(4, 24):
    case(f"{size} bytes", "TRUNCATED", f"ends at byte {size}", raw=gguf()[:size])
case("n_tensors -1", "TRUNCATED", "claims 18446744073709551615", tensors=-1, at=24)
case("n_tensors 2^63", "TRUNCATED", "claims 9223372036854775808", tensors=1 << 63, at=24)
case("n_tensors one too many", "TRUNCATED", "", tensors=2)
case("n_kv -1", "TRUNCATED", "claims 18446744073709551615", count=-1, at=24)
case("n_kv 2^63", "TRUNCATED", "claims 9223372036854775808", count=1 << 63, at=24)
case("n_kv one too many", "FORMAT", "tensor name is empty", count=1)
case("no tensors", "OK", records=(), data=b"", tensors_found=0)


@bad.case("n_tensors 2^30 in a file of that size", "FORMAT", "is empty")
def _(folder):
    return bad.sparse(folder / "a.gguf", 1 << 36, b"GGUF" + struct.pack("<IQQ", 3, 1 << 30, 0))


# --- pairs --------------------------------------------------------------------------------------

for length in ((1 << 64) - 1, (1 << 64) - 8, 1 << 63, 1000):
    case(f"key of length {length}", "TRUNCATED", f"a key should have {length} bytes",
         pairs=[struct.pack("<Q", length) + b"k"], at=24)
    case(f"string of length {length}", "TRUNCATED", f"should have {length} bytes",
         pairs=[pair("k", STRING, struct.pack("<Q", length) + b"v")], item="k")
    case(f"string of length {length} in an array", "TRUNCATED", f"should have {length} bytes",
         pairs=[pair("k", ARRAY, struct.pack("<IQ", STRING, 2) + text("v")
                     + struct.pack("<Q", length) + b"v")], item="k")
    case(f"tensor name of length {length}", "TRUNCATED", f"should have {length} bytes",
         records=[struct.pack("<Q", length) + bytes(32)], at=24)
case("array of 2^64-1 bytes", "TRUNCATED", "claims",
     pairs=[pair("k", ARRAY, struct.pack("<IQ", U8, (1 << 64) - 1))])
case("array of 2^61 u64", "TRUNCATED", "claims",
     pairs=[pair("k", ARRAY, struct.pack("<IQ", U64, 1 << 61))])
case("array of 2^64-1 strings", "TRUNCATED", "claims",
     pairs=[pair("k", ARRAY, struct.pack("<IQ", STRING, (1 << 64) - 1))])
case("array of 2^64-1 arrays", "TRUNCATED", "claims",
     pairs=[pair("k", ARRAY, struct.pack("<IQ", ARRAY, (1 << 64) - 1))])
case("array of an unknown type", "FORMAT", "unknown type 13",
     pairs=[pair("k", ARRAY, struct.pack("<IQ", 13, 0))])
case("nested array", "OK", pairs=[pair("k", ARRAY, struct.pack("<IQ", ARRAY, 2)
                                       + struct.pack("<IQ", U8, 3) + b"abc"
                                       + struct.pack("<IQ", ARRAY, 1)
                                       + struct.pack("<IQ", STRING, 1) + text("x"))],
     tensors_found=1, metadata={"k": "[2 arrays]"})
case("arrays nested 100,000 deep", "UNSUPPORTED", "nests",
     pairs=[pair("k", ARRAY, struct.pack("<IQ", ARRAY, 1) * 100000)], item="k")
case("a million empty arrays in an array", "OK", ms=400, tensors_found=1,
     pairs=[pair("k", ARRAY, struct.pack("<IQ", ARRAY, 1 << 20)
                 + struct.pack("<IQ", U8, 0) * (1 << 20))])
case("value of an unknown type", "FORMAT", "unknown type 255", pairs=[pair("k", 255, bytes(8))],
     item="k")
case("truth value of 2", "FORMAT", "truth value of 2", pairs=[pair("k", BOOL, b"\2")], item="k")
case("key twice", "FORMAT", "'k' is there twice", pairs=[pair("k", U8, b"\1"), pair("k", U8, b"\2")],
     item="k")
case("key with NUL", "FORMAT", "NUL", pairs=[pair(b"a\0b", U8, b"\1")])
case("key empty", "FORMAT", "empty", pairs=[pair("", U8, b"\1")])
case("key of 65,536 bytes", "UNSUPPORTED", "at most 65535", pairs=[pair("k" * 65536, U8, b"\1")])
case("string with NUL", "OK", pairs=[pair("k", STRING, text(b"a\0b"))], tensors_found=1)
case("string of 2 MB", "OK", pairs=[pair("k", STRING, text(bytes(2 << 20)))], tensors_found=1,
     metadata={"k": "[string of 2097152 bytes]"})
case("part of a split model", "OK", pairs=[pair("split.count", 2, struct.pack("<H", 3))],
     tensors_found=1, warns="one of 3 parts")
case("100,000 pairs", "OK", pairs=[pair(f"k{i}", U8, b"\1") for i in range(100000)], tensors_found=1,
     ms=1000)

# --- alignment ----------------------------------------------------------------------------------

for value in (0, 1, 3, 4, 31, 33, 1 << 21, 1 << 31, (1 << 32) - 1):
    case(f"alignment {value}", "FORMAT", f"alignment is {value}",
         pairs=[pair("general.alignment", U32, struct.pack("<I", value))], item="general.alignment")
case("alignment as u64", "FORMAT", "must be u32",
     pairs=[pair("general.alignment", U64, struct.pack("<Q", 32))])
case("alignment as text", "FORMAT", "must be u32",
     pairs=[pair("general.alignment", STRING, text("32"))])
for value in (8, 4096, 1 << 20):
    case(f"alignment {value}, which is good", "OK", alignment=value,
         pairs=[pair("general.alignment", U32, struct.pack("<I", value))],
         tensors_found={"w": {"values": [1, 2, 3, 4], "offset": max(value, 96)}})

# --- records ------------------------------------------------------------------------------------

record_case("n_dims 0", "FORMAT", "0 dimensions", record(sizes=()), item="w")
record_case("n_dims 5", "FORMAT", "5 dimensions", record(sizes=(1,) * 5), item="w")
record_case("n_dims 2^32-1", "FORMAT", "4294967295 dimensions", record(dims=0xffffffff), item="w")
record_case("a size of -1", "FORMAT", "beyond 2^63", record(sizes=(-1,)), item="w")
record_case("sizes INT64_MAX x 2", "FORMAT", "beyond 2^63", record(sizes=((1 << 63) - 1, 2)))
record_case("sizes 2^32 x 2^32", "FORMAT", "beyond 2^63", record(sizes=(1 << 32, 1 << 32)))
record_case("sizes 0 x 2^63", "FORMAT", "beyond 2^63", record(sizes=(0, 1 << 63)))
record_case("sizes INT64_MAX x 2 x 0", "FORMAT", "beyond 2^63", record(sizes=((1 << 63) - 1, 2, 0)))
record_case("bytes beyond 2^64", "FORMAT", "64 bits", record(sizes=(1 << 62,), kind=F64))
record_case("bytes beyond 2^63", "TRUNCATED", "fetch it again", record(sizes=(1 << 62,), kind=F16))
record_case("rows that are no whole blocks", "FORMAT", "blocks of 32",
            record(sizes=(48, 2), kind=Q4_0), data=bytes(64), item="w")
record_case("rows that are no whole k-blocks", "FORMAT", "blocks of 256",
            record(sizes=(128, 2), kind=Q4_K), data=bytes(144), item="w")
record_case("type -1", "UNSUPPORTED", "type 4294967295", record(kind=-1), item="w")
record_case("type 1000", "UNSUPPORTED", "type 1000", record(kind=1000), item="w")
record_case("type Q4_2, which ggml dropped", "UNSUPPORTED", "type 4 (Q4_2)", record(kind=Q4_2))
record_case("type Q4_0_4_4, which ggml dropped", "UNSUPPORTED", "type 31 (Q4_0_4_4)",
            record(kind=Q4_0_4_4))
record_case("name with NUL", "FORMAT", "NUL", record(name=b"a\0b"))
record_case("name with a newline", "FORMAT", "control characters", record(name="a\nb"))
record_case("name empty", "FORMAT", "empty", record(name=""))
record_case("name of 2,000 bytes", "FORMAT", "1024", record(name="n" * 2000))
record_case("name twice", "FORMAT", "twice", record(), record(offset=32), data=bytes(64), item="w")
record_case("listed, not read", "OK", "", record(sizes=(32, 2), kind=IQ4_NL), data=bytes(36),
            tensors_found={"w": {"number": "IQ4_NL", "readable": False, "shape": [2, 32]}})
record_case("blocks", "OK", "", record(sizes=(32, 2), kind=Q8_0),
            data=2 * (struct.pack("<e", 0.5) + bytes(range(32))),
            tensors_found={"w": {"number": "Q8_0", "shape": [2, 32],
                                 "values": [i / 2 for i in range(16)]}})
record_case("dimensions are outermost first", "OK", "", record(sizes=(4, 3, 2)), data=bytes(96),
            tensors_found={"w": {"shape": [2, 3, 4]}})
record_case("100,000 empty tensors", "OK", "",
            *[record(name=f"t{i}", sizes=(0,)) for i in range(100000)], data=b"",
            tensors_found=100000, ms=1000)

# --- places -------------------------------------------------------------------------------------

record_case("offset not aligned", "FORMAT", "no multiple", record(offset=16), data=bytes(64), item="w")
record_case("offset past the end", "TRUNCATED", "at offset 64", record(offset=64), item="w")
record_case("offset 2^64-32", "TRUNCATED", "at offset", record(offset=(1 << 64) - 32), item="w")
record_case("overlapping", "FORMAT", "'b' overlaps", record("a", (16,)), record("b", (16,), offset=32),
            data=bytes(128), item="b")
record_case("the same place twice", "FORMAT", "overlaps", record("a"), record("b"), data=bytes(64))
record_case("a hole", "FORMAT", "32 bytes of no tensor", record("a", (8,)),
            record("b", (8,), offset=64), data=bytes(96), item="b")
record_case("a hole at the front", "FORMAT", "32 bytes of no tensor", record(offset=32),
            data=bytes(64), item="w")
record_case("in another order than the data", "OK", "", record("b", offset=32), record("a"),
            data=VALUES + bytes(16) + VALUES, tensors_found=2)
case("data missing", "TRUNCATED", "'w' has 16 bytes", data=b"", item="w")
case("data one byte short", "TRUNCATED", "'w' has 16 bytes", data=VALUES[:15], item="w")
case("padding behind the last tensor", "OK", data=VALUES + bytes(16), tensors_found=1)
case("data longer", "OK", data=VALUES + bytes(100), tensors_found=1, warns="100 bytes follow")


@bad.case("cut while it is open", "TRUNCATED", "", arguments=("--cut", "{folder}/a.gguf", "2000"))
def _(folder):
    return bad.write(folder / "a.gguf", gguf(records=[record(sizes=(1000,))], data=bytes(4000)))


bad.main()
