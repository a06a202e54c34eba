"""PyTorch files, zip and older, and the pickles in them: what an attacker or a damaged disk makes.

No case needs torch: archives and pickles are put together here, byte by byte.
"""
import io
import pickle
import struct
import tarfile
import zlib

import bad

# --- pickles --------------------------------------------------------------------------------------


def text(string):
    raw = string.encode() if isinstance(string, str) else string
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value):
    size = (value.bit_length() + 8) // 8
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def tuple_of(*items):
    return b"(" + b"".join(items) + b"t"


def storage(key="0", kind="FloatStorage", count=4, location="cpu", extra=()):
    return tuple_of(text("storage"), name("torch", kind), text(key), text(location), number(count),
                    *extra) + b"Q"


def tensor(where=None, offset=0, shape=(4,), strides=(1,)):
    return (name("torch._utils", "_rebuild_tensor_v2") +
            tuple_of(where or storage(), number(offset), tuple_of(*map(number, shape)),
                     tuple_of(*map(number, strides)), b"\x89", name("collections", "OrderedDict") +
                     b")R") + b"R")


def state(**items):
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def whole(body):
    return b"\x80\x02" + body + b"."


# --- archives -------------------------------------------------------------------------------------


class Member:
    """One member of an archive; `local` and `central` replace fields in either header."""

    def __init__(self, path, content, method=0, flags=0, local=None, central=None, gap=b""):
        self.path, self.content, self.method, self.flags = path.encode(), content, method, flags
        self.local, self.central, self.gap = local or {}, central or {}, gap
        self.packed = content
        if method == 8:
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            self.packed = packer.compress(content) + packer.flush()

    def about(self, changes):
        fields = dict(flags=self.flags, method=self.method, crc=zlib.crc32(self.content),
                      packed=len(self.packed), size=len(self.content), path=self.path)
        fields.update(changes)
        fixed = struct.pack("<HHIIII", fields["flags"], fields["method"], 0, fields["crc"],
                            fields["packed"], fields["size"])
        return fixed, fields["path"], fields.get("offset")

    def local_bytes(self):
        fixed, path, _ = self.about(self.local)
        return b"PK\3\4\x14\0" + fixed + struct.pack("<HH", len(path), 0) + path + self.packed

    def central_bytes(self, offset):
        fixed, path, moved = self.about(self.central)
        return (b"PK\1\2\x14\0\x14\0" + fixed + struct.pack("<HHHHHI", len(path), 0, 0, 0, 0, 0) +
                struct.pack("<I", offset if moved is None else moved) + path)


def end_of(entries, size, offset, comment=b""):
    return b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, entries, entries, size, offset,
                                   len(comment)) + comment


def end64_of(at, entries, size, offset, locator=None):
    return (b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, entries, entries, size, offset) +
            b"PK\6\7" + struct.pack("<IQI", 0, at if locator is None else locator, 1))


def archive(members, prefix=b"", comment=b"", wide=None, wide_locator=None, entries=None):
    """`wide`: the zip64 record's (entries, size, offset), None where true; `entries`: of the plain."""
    out, offsets = bytearray(prefix), []
    for member in members:
        offsets.append(len(out))
        out += member.local_bytes() + member.gap
    directory = len(out)
    for member, offset in zip(members, offsets):
        out += member.central_bytes(offset)
    size = len(out) - directory
    if wide is not None:
        true = (len(members), size, directory)
        told = [true[i] if each is None else each for i, each in enumerate(wide)]
        out += end64_of(len(out), *told, locator=wide_locator)
    out += end_of(len(members) if entries is None else entries, size, directory, comment)
    return bytes(out)


DATA = struct.pack("<4f", 1, 2, 3, 4)


def model(body=None, data=DATA, more=(), **how):
    """A good file of one storage, unless `body` or the rest break it."""
    pickled = whole(state(w=tensor()) if body is None else body)
    members = [Member("m/data.pkl", pickled), Member("m/byteorder", b"little"),
               Member("m/data/0", data), Member("m/version", b"3\n"), *more]
    return archive(members, **how)


def zipped(title, status, says="", **about):
    """A case whose function returns the archive's bytes."""
    def register(make):
        return bad.case(title, status, says, **about)(
            lambda folder: bad.write(folder / "a.pt", make()))
    return register


# --- what is right --------------------------------------------------------------------------------

GOOD = {"w": dict(number="F32", shape=[4], values=[1, 2, 3, 4])}


@zipped("a plain file", "OK", tensors=GOOD, kind="PyTorch (zip)")
def _():
    return model()


@zipped("zip64 records that agree", "OK", tensors=GOOD)
def _():
    return model(wide=(None, None, None))


@zipped("big-endian byte order", "OK", tensors=GOOD)
def _():
    return archive([Member("m/data.pkl", whole(state(w=tensor()))), Member("m/byteorder", b"big"),
                    Member("m/data/0", struct.pack(">4f", 1, 2, 3, 4))])


@zipped("a packed storage", "OK", tensors=GOOD)
def _():
    return archive([Member("m/data.pkl", whole(state(w=tensor())), method=8),
                    Member("m/data/0", DATA, method=8)])


@zipped("overlapping elements", "OK", tensors={"w": dict(shape=[3, 2], values=[1, 2, 2, 3, 3, 4])})
def _():
    return model(state(w=tensor(shape=(3, 2), strides=(1, 1))))


@zipped("no checksums", "OK", tensors=GOOD, warns="without checksums")
def _():
    fields = dict(crc=0)
    return archive([Member("m/data.pkl", whole(state(w=tensor())), local=fields, central=fields),
                    Member("m/data/0", DATA, local=fields, central=fields)])


@zipped("a NumPy array beside tensors", "OK", tensors=1, warns="NumPy arrays")
def _():
    array = (name("numpy.core.multiarray", "_reconstruct") + tuple_of(
        name("numpy", "ndarray"), tuple_of(number(0)), b"C\1b") + b"R" + tuple_of(number(1)) + b"b")
    return model(state(w=tensor(), a=array))


# --- code in the pickle ---------------------------------------------------------------------------

SYSTEM = name("os", "system")


class Attack:
    def __reduce__(self):
        import os
        return os.system, ("echo owned",)


for protocol in range(6):
    @zipped(f"os.system by REDUCE, protocol {protocol}", "UNSUPPORTED",
            ["posix.system", "save its state_dict"], item="m/data.pkl")
    def _(protocol=protocol):
        return archive([Member("m/data.pkl", pickle.dumps({"w": Attack()}, protocol=protocol))])


@zipped("GLOBAL by memo alias", "UNSUPPORTED", "os.system")
def _():
    return model(text("system") + b"q\x00" + b"0" + text("os") + b"q\x01" + b"0h\x01h\x00\x93" +
                 text("id") + b"\x85R")


@zipped("a callable by memo alias", "UNSUPPORTED", "os.system")
def _():
    return model(SYSTEM + b"q\x000h\x00" + text("id") + b"\x85R")


@zipped("INST", "UNSUPPORTED", "os.system")
def _():
    return model(b"(" + text("id") + b"ios\nsystem\n")


@zipped("OBJ", "UNSUPPORTED", "os.system")
def _():
    return model(b"(" + SYSTEM + text("id") + b"o")


@zipped("OBJ of a class on the list", "UNSUPPORTED", "OrderedDict")
def _():
    return model(b"(" + name("collections", "OrderedDict") + text("id") + b"o")


@zipped("NEWOBJ", "UNSUPPORTED", "subprocess.Popen")
def _():
    return model(name("subprocess", "Popen") + tuple_of(text("id")) + b"\x81")


@zipped("NEWOBJ_EX", "UNSUPPORTED", "NEWOBJ_EX")
def _():
    return model(name("collections", "OrderedDict") + b")}\x92")


@zipped("BUILD on a fake class", "UNSUPPORTED", "fake.Class")
def _():
    return model(name("fake", "Class") + b")\x81}" + text("__setstate__") + SYSTEM + b"sb")


@zipped("BUILD on a plain dictionary", "UNSUPPORTED", "BUILD")
def _():
    return model(b"}}" + text("__class__") + text("x") + b"sb")


@zipped("BUILD on a tensor", "UNSUPPORTED", "BUILD")
def _():
    return model(tensor() + tuple_of(storage(), number(0)) + b"b")


for opcode, argument in ((b"\x82", b"\x05"), (b"\x83", b"\x05\0"), (b"\x84", b"\x05\0\0\0")):
    @zipped(f"EXT{len(argument)}", "UNSUPPORTED", "extension registry")
    def _(opcode=opcode, argument=argument):
        return model(opcode + argument)


for module, attribute in (("builtins", "eval"), ("builtins", "getattr"), ("torch", "load"),
                          ("torch.hub", "load"), ("torch.storage", "_load_from_bytes"),
                          ("numpy.testing._private.utils", "runstring"), ("runpy", "run_path"),
                          ("torch.jit", "unsupported_tensor_ops"), ("collections", "namedtuple")):
    @zipped(f"the name {module}.{attribute}", "UNSUPPORTED", f"{module}.{attribute}")
    def _(module=module, attribute=attribute):
        return model(name(module, attribute))


@zipped("a dotted name below an allowed module", "UNSUPPORTED", "torch.serialization.os.system")
def _():
    return model(b"\x8c\x13torch.serialization\x8c\x09os.system\x93")


@zipped("a name that hides behind NUL", "UNSUPPORTED", "collections?.OrderedDict")
def _():
    return model(b"\x8c\x0ccollections\0\x8c\x0bOrderedDict\x93")


@zipped("a whole model", "UNSUPPORTED", ["torch.nn.modules.linear.Linear", "state_dict"])
def _():
    return model(name("torch.nn.modules.linear", "Linear") + b")\x81}b")


@zipped("TorchScript", "UNSUPPORTED", ["__torch__.Net", "torch.jit.load"])
def _():
    return model(name("__torch__", "Net") + b")\x81}b", more=[Member("m/constants.pkl", whole(b")"))])


@zipped("TorchScript whose data is plain", "OK", tensors=GOOD, warns="TorchScript")
def _():
    return model(more=[Member("m/constants.pkl", whole(b")")), Member("m/code/net.py", b"import os")])


for function in ("_rebuild_qtensor", "_rebuild_sparse_tensor", "_rebuild_meta_tensor_no_storage",
                 "_rebuild_wrapper_subclass", "_rebuild_nested_tensor"):
    @zipped(f"torch._utils.{function}", "UNSUPPORTED", function)
    def _(function=function):
        return model(name("torch._utils", function) + b")R")


@zipped("a quantised storage", "UNSUPPORTED", "QUInt8Storage")
def _():
    return model(tensor(storage(kind="QUInt8Storage")))


@zipped("a persistent id of a module", "UNSUPPORTED", "persistent id")
def _():
    return model(tuple_of(text("module"), name("collections", "OrderedDict"), text("a.py"),
                          text("source"), number(1)) + b"Q")


# --- pickles that would exhaust -------------------------------------------------------------------

@zipped("10^6 memo entries", "OK", tensors=0, warns="no tensors", ms=400)
def _():
    puts = b"".join(b"r" + struct.pack("<I", i) for i in range(10**6))
    return archive([Member("m/data.pkl", whole(b"}" + puts), method=8)])


@zipped("a memo index of 4 billion", "FORMAT", "4294967295")
def _():
    return model(b"}r\xff\xff\xff\xff")


@zipped("billion laughs", "UNSUPPORTED", "over and over")
def _():
    return model(b")" + b"2\x86" * 60)


@zipped("billion laughs with tensors", "UNSUPPORTED", "far more names")
def _():
    return model(b"}" + text("w") + tensor() + b"s" + b"2\x86" * 60)


@zipped("values thrown away, then as many names for one tensor", "UNSUPPORTED", "far more names",
        ms=600)
def _():
    names = b"](" + tensor() + b"q\x00" + b"h\x00" * 999 + b"eq\x010"
    pickled = whole(b"N0" * 200000 + names + b"](" + b"h\x01" * 3200 + b"e")
    return archive([Member("m/data.pkl", pickled, method=8), Member("m/data/0", DATA)])


@zipped("60 MB of values thrown away, packed", "UNSUPPORTED", "64 to 1", item="m/data.pkl")
def _():
    pickled = whole(b"N0" * (30 << 20) + state(w=tensor()))
    return archive([Member("m/data.pkl", pickled, method=8), Member("m/data/0", DATA)])


@zipped("one key of 1 MB a hundred thousand times", "FORMAT", "key twice", ms=600)
def _():
    pairs = text("k" * 2**20) + b"q\x00N" + b"h\x00N" * 10**5
    return archive([Member("m/data.pkl", whole(b"}(" + pairs + b"u"), method=8)])


@zipped("four numbers seen as 2^50", "UNSUPPORTED", "repeats its numbers", item="w")
def _():
    return model(state(w=tensor(shape=(2**30, 2**20), strides=(0, 0))))


@zipped("a list in itself", "FORMAT", "contains itself")
def _():
    return model(b"]q\x00h\x00a")


@zipped("a dictionary in itself", "FORMAT", "contains itself")
def _():
    return model(b"}q\x00" + text("a") + b"]h\x00as")


@zipped("nested 10^5 deep", "UNSUPPORTED", "64 levels")
def _():
    return model(b")" + b"\x85" * 10**5)


@zipped("10^6 empty lists", "OK", tensors=0, warns="no tensors", ms=600)
def _():
    return model(b"(" + b"]" * 10**6 + b"t")


@zipped("4 * 10^6 empty lists in 4 KB", "MEMORY", ms=1500)
def _():
    return archive([Member("m/data.pkl", whole(b"(" + b"]" * (4 * 10**6) + b"t"), method=8)])


@zipped("a string of 4 GB", "TRUNCATED", "STOP")
def _():
    return model(b"X\xff\xff\xff\xff")


@zipped("a string of 2^64 - 1", "TRUNCATED", "STOP")
def _():
    return model(b"\x8d" + b"\xff" * 8)


@zipped("protocol 99", "UNSUPPORTED", "protocol is 99")
def _():
    return archive([Member("m/data.pkl", b"\x80\x63}.")])


@zipped("no STOP", "TRUNCATED", "STOP")
def _():
    return archive([Member("m/data.pkl", b"\x80\x02}")])


@zipped("an empty data.pkl", "TRUNCATED", "STOP")
def _():
    return archive([Member("m/data.pkl", b"")])


@zipped("a second pickle behind the first", "FORMAT", "behind the end")
def _():
    return archive([Member("m/data.pkl", whole(b"}") + whole(SYSTEM))])


@zipped("a pickle cut in a name", "TRUNCATED", "STOP")
def _():
    return archive([Member("m/data.pkl", b"\x80\x02ctorch._utils\n_rebuild")])


# --- storages and tensors -------------------------------------------------------------------------

@zipped("storage key missing", "FORMAT", "the storage '7' is missing", item="m/data.pkl")
def _():
    return model(state(w=tensor(storage(key="7"))))


for key in ("../../etc/passwd", "/etc/passwd", "..", ".", "", "a\\b", "0\0", "a/b"):
    @zipped(f"storage key {key!r}", "FORMAT", "lead out")
    def _(key=key):
        return model(state(w=tensor(storage(key=key))))


@zipped("storage with fewer bytes than the pickle says", "FORMAT", "should have 16 bytes")
def _():
    return model(data=DATA[:12])


@zipped("storage with more bytes than the pickle says", "FORMAT", "should have 16 bytes")
def _():
    return model(data=DATA + b"\0")


@zipped("a storage of 2^62 doubles", "FORMAT", "cannot be")
def _():
    return model(state(w=tensor(storage(kind="DoubleStorage", count=2**62))))


@zipped("a storage of -1 elements", "FORMAT", "cannot be")
def _():
    return model(state(w=tensor(storage(count=-1))))


@zipped("one storage under two types", "FORMAT", "once a torch.FloatStorage and once a torch.IntStorage")
def _():
    return model(state(a=tensor(), b=tensor(storage(kind="IntStorage"))))


for title, how in {
    "shape beyond the storage": dict(shape=(5,)),
    "offset beyond the storage": dict(offset=1),
    "strides beyond the storage": dict(shape=(2, 2), strides=(3, 1)),
    "offset 2^63 - 1": dict(offset=2**63 - 1),
    "shape [2^32, 2^32]": dict(shape=(2**32, 2**32), strides=(2**32, 1)),
    "strides whose product wraps to 0": dict(shape=(2**32 + 1,), strides=(2**32,)),
}.items():
    @zipped(title, "FORMAT", "reach", item="m/data.pkl")
    def _(how=how):
        return model(state(w=tensor(**how)))


for title, how in {
    "a negative offset": dict(offset=-1), "a negative size": dict(shape=(-1,)),
    "a negative stride": dict(strides=(-1,)), "strides of another length": dict(strides=(1, 1)),
    "an offset of 2^64": dict(offset=2**64),
}.items():
    @zipped(title, "FORMAT", "a tensor ha")
    def _(how=how):
        return model(state(w=tensor(**how)))


@zipped("an expanded tensor of 2^80 elements", "OVERFLOW", "63 bits")
def _():
    return model(state(w=tensor(shape=(2**40, 2**40), strides=(0, 0))))


@zipped("an expanded tensor of 2^30 elements", "OK", tensors={"w": dict(shape=[2**30])}, ms=600)
def _():
    return model(state(w=tensor(shape=(2**30,), strides=(0,))))


@zipped("9 dimensions", "UNSUPPORTED", "9 dimensions")
def _():
    return model(state(w=tensor(shape=(1,) * 9, strides=(1,) * 9)))


@zipped("a tensor to be negated when used", "UNSUPPORTED", "negated")
def _():
    return model(name("torch._utils", "_rebuild_tensor_v2") + tuple_of(
        storage(), number(0), b")", b")", b"\x89", b"}", b"}" + text("neg") + b"\x88s") + b"R")


@zipped("the same key twice", "FORMAT", "a key twice")
def _():
    return model(b"}(" + text("w") + tensor() + text("w") + b"Nu")


@zipped("two paths of one name", "FORMAT", "twice")
def _():
    return model(b"}(" + text("a.b") + tensor() + text("a") + state(b=tensor()) + b"u")


@zipped("a NUL in a tensor's name", "FORMAT", "cannot be a name")
def _():
    return model(b"}(" + text("w\0hidden") + tensor() + b"u")


@zipped("a newline in a tensor's name", "FORMAT", "control characters")
def _():
    return model(b"}(" + text("w\nhidden") + tensor() + b"u")


@zipped("names that are not UTF-8", "FORMAT", "not UTF-8")
def _():
    return model(b"}(" + text(b"w\xff") + tensor() + text(b"w\xfe") + tensor() + b"u")


@zipped("a C1 control character in a tensor's name", "FORMAT", "control characters")
def _():
    return model(b"}(" + text("w\x9b2J") + tensor() + b"u")


@zipped("a name of 1 MB", "FORMAT", "cannot be a name")
def _():
    return model(b"}(" + text("w" * 10**6) + tensor() + b"u")


# --- the archive ----------------------------------------------------------------------------------

@zipped("bad CRC of the pickle", "CORRUPT", "checksum", item="m/data.pkl")
def _():
    fields = dict(crc=1234)
    return archive([Member("m/data.pkl", whole(b"}"), local=fields, central=fields)])


@zipped("bad CRC of a storage", "CORRUPT", "m/data/0")
def _():
    fields = dict(crc=1234)
    return archive([Member("m/data.pkl", whole(state(w=tensor()))),
                    Member("m/data/0", DATA, local=fields, central=fields)])


for bit, says in ((0, "encrypted"), (6, "encrypted"), (13, "encrypted"), (4, "flag bits"),
                  (5, "flag bits"), (7, "flag bits"), (15, "flag bits")):
    @zipped(f"flag bit {bit}", "UNSUPPORTED", says, item="m/data.pkl")
    def _(bit=bit):
        return archive([Member("m/data.pkl", whole(b"}"), flags=1 << bit)])


@zipped("flag bits in the local header alone", "FORMAT", "different things")
def _():
    return archive([Member("m/data.pkl", whole(b"}"), local=dict(flags=1))])


for method in (1, 9, 12, 14, 93, 99):
    @zipped(f"method {method}", "UNSUPPORTED", "another method")
    def _(method=method):
        fields = dict(method=method)
        return archive([Member("m/data.pkl", whole(b"}"), local=fields, central=fields)])


@zipped("a deflated bomb as pickle", "UNSUPPORTED", "64 to 1")
def _():
    return archive([Member("m/data.pkl", bytes(65 << 20), method=8)])


@zipped("a deflated bomb within what is read whole", "UNSUPPORTED", "64 to 1", budget=32 << 20)
def _():
    return archive([Member("m/data.pkl", bytes(63 << 20), method=8)])


@zipped("a pickle larger than what is read whole", "UNSUPPORTED", "larger than what is read whole",
        ms=600)
def _():
    return archive([Member("m/data.pkl", bytes(65 << 20))])


@zipped("a pickle beyond the budget", "MEMORY", budget=32 << 20, ms=600)
def _():
    return archive([Member("m/data.pkl", bytes(63 << 20))])


@zipped("a deflated storage beyond the budget", "OK", tensors={"w": dict(shape=[2**25])}, ms=2000)
def _():
    return archive([Member("m/data.pkl", whole(state(w=tensor(storage(count=2**25), shape=(2**25,))))),
                    Member("m/data/0", bytes(2**27), method=8)])


@zipped("deflated data that claims 1 TB", "FORMAT", "more than deflate can hold")
def _():
    fields = dict(size=0xfffffffe)
    return archive([Member("m/data.pkl", whole(b"}"), method=8, local=fields, central=fields)])


@zipped("two data.pkl", "FORMAT", "second data.pkl")
def _():
    return archive([Member("m/data.pkl", whole(b"}")), Member("n/data.pkl", whole(SYSTEM))])


@zipped("data.pkl outside the first member's folder", "FORMAT", "first member")
def _():
    return archive([Member("n/version", b"3"), Member("m/data.pkl", whole(b"}"))])


@zipped("duplicate members", "FORMAT", "two members have this name", item="m/data.pkl")
def _():
    return archive([Member("m/data.pkl", whole(b"}")), Member("m/data.pkl", whole(SYSTEM))])


@zipped("duplicate storages", "FORMAT", "two members have this name", item="m/data/0")
def _():
    return model(more=[Member("m/data/0", DATA)])


for title, wide, says in (
        ("entries", (9, None, None), "different things"), ("size", (None, 1, None), "different things"),
        ("offset", (None, None, 0), "different things"),
        ("entries of 2^60", (2**60, None, None), "different things")):
    @zipped(f"zip64 lies: {title}", "FORMAT", says)
    def _(wide=wide):
        return model(wide=wide)


@zipped("zip64 lies: entries of 2^60 in both", "FORMAT", "too short for the number")
def _():
    return model(wide=(2**60, None, None), entries=0xffff)


@zipped("zip64 lies: locator", "FORMAT", "zip64")
def _():
    return model(wide=(None, None, None), wide_locator=3)


@zipped("zip64 lies: locator past the end", "FORMAT", "points outside")
def _():
    return model(wide=(None, None, None), wide_locator=2**63)


for field, value in (("path", b"m/date.pkl"), ("crc", 1), ("size", 7), ("packed", 7), ("method", 8)):
    @zipped(f"central and local disagree: {field}", "FORMAT", "different things")
    def _(field=field, value=value):
        return archive([Member("m/data.pkl", whole(b"}"), local={field: value})])


@zipped("central points into another member", "FORMAT", "")
def _():
    return archive([Member("m/data.pkl", whole(b"}")), Member("m/a", b"PK\3\4" + bytes(40)),
                    Member("m/b", b"x", central=dict(offset=50))])


@zipped("two members share bytes", "FORMAT", "")
def _():
    return archive([Member("m/data.pkl", whole(b"}")), Member("m/b", b"x", central=dict(offset=0))])


@zipped("a hidden member between two", "FORMAT", "bytes of no member")
def _():
    hidden = Member("m/data.pkl", whole(SYSTEM)).local_bytes()
    return archive([Member("m/data.pkl", whole(b"}"), gap=hidden), Member("m/version", b"3")])


@zipped("prefix data", "FORMAT", "in front of")
def _():
    return model(prefix=b"PK\3\4" + bytes(26))


@zipped("a zip behind a shell script", "UNSUPPORTED", "is text")
def _():
    return model(prefix=b"#!/bin/sh\nexit\n")


@zipped("a comment", "OK", tensors=GOOD)
def _():
    return model(comment=b"made by hand")


@zipped("a comment with a second directory", "FORMAT", "two end records")
def _():
    return model(comment=end_of(0, 0, 0))


@zipped("a comment with a whole second archive", "FORMAT", "")
def _():
    return model(comment=archive([Member("m/data.pkl", whole(SYSTEM))]))


@zipped("a comment with an end record that does not fit", "FORMAT", "does not reach the end")
def _():
    return model(comment=end_of(0, 0, 0) + b"x")


@zipped("bytes behind the end", "FORMAT", "does not reach the end")
def _():
    return model() + b"more"


@zipped("cut in the middle", "TRUNCATED", "end record is missing")
def _():
    return model()[:200]


for path in ("../data.pkl", "/m/data.pkl", "m\\data.pkl", "m/../m/data.pkl"):
    @zipped(f"a member named {path}", "FORMAT", "a member has a name")
    def _(path=path):
        return archive([Member("m/data.pkl", whole(b"}")), Member(path, whole(SYSTEM))])


@zipped("byteorder neither little nor big", "FORMAT", "neither 'little' nor 'big'")
def _():
    return archive([Member("m/data.pkl", whole(b"}")), Member("m/byteorder", b"PDP")])


@zipped("a version of 10^18", "OK", tensors=0, warns="newer")
def _():
    return archive([Member("m/data.pkl", whole(b"}")), Member("m/version", b"1" + b"0" * 18)])


@zipped("no data.pkl", "UNSUPPORTED", "neither a data.pkl")
def _():
    return archive([Member("m/data/0", DATA)])


# --- before 1.6 -----------------------------------------------------------------------------------

MAGIC = 0x1950a86a20f9469cfc6c


def old(body, keys=("0",), storages=None, little=True, magic=MAGIC, protocol=1001):
    listed = whole(b"](" + b"".join(map(text, keys)) + b"e")
    if storages is None:
        storages = struct.pack("<q", 4) + DATA
    system = whole(b"}" + text("little_endian") + (b"\x88" if little else b"\x89") + b"s")
    return whole(number(magic)) + whole(number(protocol)) + system + whole(body) + listed + storages


def old_tensor(view=b"N", **how):
    where = {key: how.pop(key) for key in ("key", "kind", "count") if key in how}
    return tensor(storage(extra=(view,), **where), **how)


@zipped("old: a plain file", "OK", tensors=GOOD, kind="PyTorch (before 1.6)")
def _():
    return old(state(w=old_tensor()))


@zipped("old: a view of a storage", "OK", tensors={"w": dict(shape=[2], values=[2, 3])})
def _():
    view = tuple_of(text("v"), number(1), number(2))
    return old(state(w=old_tensor(view=view, shape=(2,))))


@zipped("old: a big-endian machine's counts", "OK", tensors=GOOD)
def _():
    return old(state(w=old_tensor()), storages=struct.pack(">q", 4) + DATA, little=False)


@zipped("old: a second object behind the first", "OK", tensors=GOOD, warns="behind its last storage")
def _():
    return old(state(w=old_tensor())) * 2


@zipped("old: os.system", "UNSUPPORTED", "os.system", item="object")
def _():
    return old(SYSTEM + text("id") + b"\x85R")


@zipped("old: os.system in place of the magic number", "UNSUPPORTED", "os.system")
def _():
    return whole(SYSTEM + text("id") + b"\x85R")


@zipped("old: os.system in the list of keys", "UNSUPPORTED", "os.system", item="storage keys")
def _():
    good = old(state(w=old_tensor()), storages=b"")
    return good[:good.rindex(b"\x80\x02]")] + whole(SYSTEM)


@zipped("old: a bare pickle", "UNSUPPORTED", "torch.save did not write")
def _():
    return pickle.dumps({"w": [1.0, 2.0]}, protocol=4)


@zipped("old: another magic number", "UNSUPPORTED", "torch.save did not write")
def _():
    return old(state(w=old_tensor()), magic=MAGIC + 1)


@zipped("old: another protocol", "VERSION", "1001")
def _():
    return old(state(w=old_tensor()), protocol=1002)


@zipped("old: a key that no tensor has", "FORMAT", "belongs to no tensor")
def _():
    return old(state(w=old_tensor()), keys=("0", "1"))


@zipped("old: a key twice", "FORMAT", "is there twice")
def _():
    return old(state(w=old_tensor()), keys=("0", "0"))


@zipped("old: a storage that is not there", "FORMAT", "storage '0' is missing")
def _():
    return old(state(w=old_tensor()), keys=(), storages=b"")


for title, count in (("fewer", 3), ("more", 5), ("2^62", 2**62), ("-1", -1)):
    @zipped(f"old: a count of {title}", "FORMAT", "another number of elements")
    def _(count=count):
        return old(state(w=old_tensor()), storages=struct.pack("<q", count) + DATA)


@zipped("old: storages cut short", "TRUNCATED", "past the end")
def _():
    return old(state(w=old_tensor()))[:-1]


@zipped("old: a storage of 2^40 elements that is not there", "TRUNCATED", "past the end")
def _():
    return old(state(w=old_tensor(count=2**40)), storages=struct.pack("<q", 2**40))


for title, view in (("past its storage", (3, 2)), ("from -1", (-1, 2)), ("of 2^63 - 1", (1, 2**63 - 1))):
    @zipped(f"old: a view {title}", "FORMAT", "a view that cannot be")
    def _(view=view):
        return old(state(w=old_tensor(view=tuple_of(text("v"), *map(number, view)), shape=(1,))))


@zipped("old: a tensor past its view", "FORMAT", "which has 2")
def _():
    view = tuple_of(text("v"), number(1), number(2))
    return old(state(w=old_tensor(view=view, shape=(3,))))


@zipped("old: cut in the object", "TRUNCATED", "STOP", item="object")
def _():
    return old(state(w=old_tensor()))[:160]


@zipped("old: an object over the first piece", "OK", tensors=3001)
def _():
    many = {f"layer{i}.with.a.long.enough.name": old_tensor() for i in range(3000)}
    return old(state(w=old_tensor(), **many))


@zipped("older: a tar archive", "UNSUPPORTED", "a tar archive, as PyTorch wrote before")
def _():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in ("sys_info", "pickle", "tensors", "storages"):
            info = tarfile.TarInfo(member)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"\x80\x02}."))
    return out.getvalue()


bad.main()
