"""Bad .npy and .npz files, and odd ones that are good."""
import io
import struct
import zipfile
import zlib

import bad

TERABYTE = 1 << 40
NPY, NPZ = "a.npy", "a.npz"


def dictionary(descr="'<f4'", order="False", shape="(2, 2)"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def npy(header=None, data=bytes(16), version=1, length=None, pad=0, **fields):
    """The bytes of a file; `fields` are Python text of the dictionary's values."""
    text = (dictionary(**fields) if header is None else header).encode("utf-8", "surrogateescape")
    text += b" " * pad + b"\n"
    length = len(text) if length is None else length
    return b"\x93NUMPY" + bytes([version, 0]) + length.to_bytes(2 if version == 1 else 4, "little") \
        + text + data


def case(name, status, says, make, file=NPY, **more):
    bad.case(name, status, says, **more)(lambda folder: bad.write(folder / file, make()))


def header_case(name, status, says, **fields):
    """One header, refused alike as a file and as a member of an archive, packed or not."""
    case(f"npy: {name}", status, says, lambda: npy(**fields))
    case(f"npz: {name}", status, (says, "w.npy"), lambda: npz({"w.npy": npy(**fields)}), NPZ,
         item="w.npy")
    case(f"npz, deflated: {name}", status, (says, "w.npy"),
         lambda: npz({"w.npy": npy(**fields)}, zipfile.ZIP_DEFLATED), NPZ, item="w.npy", at=35)


def npz(members, method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def lying_zip(name, data, crc, claimed, deflated):
    """An archive of one member that claims to unpack to `claimed` bytes, in zip64 fields."""
    method = 8 if deflated else 0
    packed = len(data) if deflated else claimed
    extra = struct.pack("<HHQQ", 1, 16, claimed, packed)
    both = struct.pack("<HHHHHLLLHH", 45, 0, method, 0, 0x21, crc, 0xffffffff, 0xffffffff,
                       len(name), len(extra))
    local = b"PK\3\4" + both + name + extra + data
    central = b"PK\1\2" + struct.pack("<H", 45) + both + struct.pack("<HHHLL", 0, 0, 0, 0, 0) \
        + name + extra
    end = b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + end


def deflate(content):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


# --- header lengths -----------------------------------------------------------------------------

for size in (6, 7, 8, 9, 11):
    case(f"npy: {size} bytes", "TRUNCATED", "", lambda size=size: npy()[:size])
case("npy: header length past the end", "TRUNCATED", "should have 65535 bytes",
     lambda: npy(length=65535), at=8)
case("npy: header length 2^32-1", "TRUNCATED", "should have 4294967295 bytes",
     lambda: npy(version=2, length=0xffffffff), at=8)
case("npy: header length 0", "FORMAT", "no dictionary", lambda: npy(length=0), at=10)
case("npy: header length one too few", "FORMAT", "follow the last value",
     lambda: npy(length=len(dictionary())), at=10 + len(dictionary()) + 16)
case("npy: header length one too many", "FORMAT", "no end", lambda: npy(length=len(dictionary()) + 2))
case("npy: header length that takes the values in", "FORMAT", "no end",
     lambda: npy(length=len(dictionary()) + 17))
case("npy: header of 70,000 bytes", "UNSUPPORTED", "at most 65536",
     lambda: npy(version=2, pad=70000), at=8)
case("npy: version 0.0", "VERSION", "version 0.0", lambda: npy(version=0)[:10] + npy()[10:], at=6)
case("npy: version 4.0", "VERSION", "version 4.0", lambda: npy(version=4), at=6)
case("npy: version 3.0", "OK", "", lambda: npy(version=3, descr="'<i4'"), kind="npy",
     tensors={"a": {"shape": [2, 2], "values": [0, 0, 0, 0], "number": "I32"}})

# --- headers ------------------------------------------------------------------------------------

header_case("object dtype", "UNSUPPORTED", "Python objects", descr="'|O'")
header_case("object dtype with a pickle behind it", "UNSUPPORTED", "Python objects", descr="'O'",
            data=b"cos\nsystem\n(S'id'\ntR.")
header_case("records of several fields", "UNSUPPORTED", "records",
            descr="[('a', '<f4'), ('b', '|O')]")
header_case("an unknown type", "UNSUPPORTED", "'<f3'", descr="'<f3'")
header_case("long double", "UNSUPPORTED", "'<f16'", descr="'<f16'")
header_case("raw bytes", "UNSUPPORTED", "'|V2'", descr="'|V2'")
header_case("Python expression as type", "FORMAT", "type of values",
            descr="__import__('os').system('id')")
header_case("Python expression as shape", "FORMAT", "end of the shape", shape="(2 * 2,)")
header_case("Python call as shape", "FORMAT", "no shape", shape="tuple([2, 2])")
header_case("Python expression behind the dictionary", "FORMAT", "no end",
            header=dictionary() + " or __import__('os')")
header_case("deep nesting", "FORMAT", "no size", shape="(" * 20000)
header_case("an escaped string", "FORMAT", "type of values", descr=r"'\x3cf4'")
header_case("negative shape", "FORMAT", "size that fits", shape="(2, -2)")
header_case("a shape of floats", "FORMAT", "end of the shape", shape="(2.0, 2)")
header_case("a number for a shape", "FORMAT", "no comma", shape="(4)")
header_case("a size of 2^64", "FORMAT", "size that fits", shape="(18446744073709551616,)")
header_case("sizes whose product wraps to 0", "TRUNCATED", "needs more",
            shape="(4294967296, 4294967296)")
header_case("nine dimensions", "UNSUPPORTED", "more than 8", shape="(1,1,1,1,1,1,1,1,4)")
header_case("a terabyte", "TRUNCATED", "needs more than the 16 bytes", shape=f"({TERABYTE // 4},)")
header_case("fortran_order of 2", "FORMAT", "True or False", order="2")
header_case("a key twice", "FORMAT", "new key", header="{'descr': '<f4', 'descr': '<f8'}")
header_case("a key that is not known", "FORMAT", "new key", header="{'extra': 1}")
header_case("a key missing", "FORMAT", "descr, fortran_order and shape", header="{'descr': '<f4'}")
header_case("data shorter than the shape", "TRUNCATED", "needs more than the 15", data=bytes(15))
header_case("data longer than the shape", "FORMAT", "1 bytes follow", data=bytes(17))

case("npy: text", "UNSUPPORTED", "text or dates", lambda: npy(descr="'<U4'", shape="(1,)"))
case("npy: fortran_order", "OK", "", lambda: npy(order="True", data=struct.pack("<4f", 1, 2, 3, 4)),
     tensors={"a": {"shape": [2, 2], "values": [1, 3, 2, 4], "contiguous": False,
                    "offset": 10 + len(dictionary(order="True")) + 1}})
case("npy: fortran_order, big-endian, three dimensions", "OK", "",
     lambda: npy(descr="'>i2'", order="True", shape="(2, 1, 3)", data=struct.pack(">6h", *range(6))),
     tensors={"a": {"shape": [2, 1, 3], "values": [0, 2, 4, 1, 3, 5]}})
case("npy: complex numbers are listed", "OK", "", lambda: npy(descr="'<c8'", shape="(2,)"),
     tensors={"a": {"number": "C64", "readable": False}})
case("npy: empty, with a large other size", "OK", "",
     lambda: npy(shape="(0, 4611686018427387904)", data=b""),
     tensors={"a": {"shape": [0, 4611686018427387904], "values": []}})
case("npy: 0 dimensions", "OK", "", lambda: npy(shape="()", data=struct.pack("<f", 5)),
     tensors={"a": {"shape": [], "values": [5]}})


@bad.case("npy: cut while it is open", "TRUNCATED", "", arguments=("--cut", "{folder}/a.npy", "200"))
def _(folder):
    return bad.write(folder / NPY, npy(shape="(1000,)", data=bytes(4000)))


@bad.case("npy: a terabyte that the file really has", "OK", tensors=1)
def _(folder):
    return bad.sparse(folder / NPY, 10 + len(dictionary(shape=f"({TERABYTE // 4},)")) + 1 + TERABYTE,
                      npy(shape=f"({TERABYTE // 4},)", data=b""))


# --- archives -----------------------------------------------------------------------------------

HEAD = npy(descr="'|u1'", shape=f"({TERABYTE},)", data=b"")

case("npz of 1 KB declaring 1 TB, deflated", "FORMAT", "w.npy",
     lambda: lying_zip(b"w.npy", deflate(HEAD + bytes(900)), 0, len(HEAD) + TERABYTE, True), NPZ)
case("npz of 1 KB declaring 1 TB, stored", "FORMAT", "w.npy",
     lambda: lying_zip(b"w.npy", HEAD + bytes(900), 0, len(HEAD) + TERABYTE, False), NPZ)
case("npz of 1 KB declaring 1 MB, which deflate could hold", "CORRUPT", "w.npy",
     lambda: lying_zip(b"w.npy", deflate(npy(descr="'|u1'", shape=f"({1 << 20},)", data=bytes(900)))
                       + bytes(1000), 0, len(npy(descr="'|u1'", shape=f"({1 << 20},)", data=b""))
                       + (1 << 20), True), NPZ)
case("npz: a member that is no array", "FORMAT", ("b.txt", "not a .npy"),
     lambda: npz({"a.npy": npy(), "b.txt": b"something else"}), NPZ, item="b.txt")
case("npz: an empty member", "TRUNCATED", "too short", lambda: npz({"a.npy": b""}), NPZ)
case("npz: packed data that is damaged", "CORRUPT", "w.npy",
     lambda: lying_zip(b"w.npy", b"\xff" * 200, 0, 300, True), NPZ)
case("npz: a wrong CRC", "CORRUPT", "w.npy",
     lambda: npz({"w.npy": npy()}).replace(bytes(16), bytes(15) + b"\1"), NPZ)
case("npz: the same tensor by two names of a member", "FORMAT", "twice",
     lambda: npz({"w.npy": npy(), "w": npy()}), NPZ)
case("npz: '..' in the name of a member", "FORMAT", "", lambda: npz({"../w.npy": npy()}), NPZ)
case("npz: nothing in it", "UNSUPPORTED", "neither", lambda: npz({}), NPZ)
case("npz: text is left out", "OK", "",
     lambda: npz({"t.npy": npy(descr="'<U4'", shape="(1,)"), "w.npy": npy()}), NPZ, kind="npz",
     tensors={"w": {"shape": [2, 2]}}, warns="t.npy holds text or dates")
case("npz: names with folders", "OK", "", lambda: npz({"net/fc/": b"", "net/fc/w.npy": npy()}), NPZ,
     tensors={"net/fc/w": {"shape": [2, 2]}})
case("npz: 4,000 members", "OK", "",
     lambda: npz({f"{i}.npy": npy() for i in range(4000)}, zipfile.ZIP_DEFLATED), NPZ, tensors=4000,
     ms=400)

bad.main()
