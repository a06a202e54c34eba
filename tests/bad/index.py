"""Bad shard indices and folders, and odd ones that are good."""
import json
import os
import struct

import bad


def shard(names, value=1.0):
    """The bytes of a safetensors file with one F32 a name."""
    header = {name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]}
              for i, name in enumerate(names)}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + struct.pack("<f", value) * len(names)


def index(folder, weight_map, total=None, name="model.safetensors.index.json"):
    about = {"metadata": {} if total is None else {"total_size": total}, "weight_map": weight_map}
    return bad.write(folder / name, json.dumps(about))


def two(folder):
    bad.write(folder / "1.safetensors", shard(["a", "b"], 1))
    bad.write(folder / "2.safetensors", shard(["c"], 2))
    return {"a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"}


# --- good ones ----------------------------------------------------------------------------------

FOUND = {"a": {"values": [1]}, "b": {"values": [1]}, "c": {"values": [2]}}


@bad.case("two shards", "OK", tensors=FOUND, files=2)
def _(folder):
    return index(folder, two(folder), 12)


@bad.case("two shards by their folder", "OK", tensors=FOUND, files=2)
def _(folder):
    return index(folder, two(folder), 12).parent


@bad.case("shards in a folder below", "OK", tensors={"a": {"values": [1]}})
def _(folder):
    bad.write(folder / "sub" / "1.safetensors", shard(["a"]))
    return index(folder, {"a": "sub/1.safetensors"})


@bad.case("191 shards", "OK", tensors=191, files=191)
def _(folder):
    names = [f"model-{i:05}-of-00191.safetensors" for i in range(1, 192)]
    for i, name in enumerate(names):
        bad.write(folder / name, shard([f"layer.{i}"]))
    return index(folder, {f"layer.{i}": name for i, name in enumerate(names)}, 4 * 191)


@bad.case("other keys in the index", "OK", tensors={"a": {}})
def _(folder):
    bad.write(folder / "1.safetensors", shard(["a"]))
    return bad.write(folder / "m.index.json", json.dumps(
        {"x": [1, {"y": None}, "z", -1.5e3, True], "metadata": {"total_size": 4, "more": [[]]},
         "weight_map": {"a": "1.safetensors"}}))


@bad.case("a total_size that lies", "OK", tensors=FOUND, warns="total_size as 99 bytes; its tensors have 12")
def _(folder):
    return index(folder, two(folder), 99)


@bad.case("a total_size that is no whole number", "OK", tensors=FOUND)
def _(folder):
    return index(folder, two(folder), 1.5e10)


@bad.case("a tensor that the index does not name", "OK", tensors=FOUND,
          warns="does not name 1 of the tensors in its shards; the first is 'b'")
def _(folder):
    names = two(folder)
    del names["b"]
    return index(folder, names)


# --- the text -----------------------------------------------------------------------------------

for name, text, says in [
        ("not JSON", '{"weight_map": {"a" "b"}}', "not valid JSON"),
        ("cut JSON", '{"weight_map": {"a": "b"', "not valid JSON"),
        ("no weight_map", '{"metadata": {}}', "no weight_map"),
        ("an empty weight_map", '{"weight_map": {}}', "names no tensor"),
        ("a weight_map that is an array", '{"weight_map": []}', "not an object"),
        ("two weight_maps", '{"weight_map": {"a": "b"}, "weight_map": {"a": "b"}}', "twice"),
        ("a shard that is a number", '{"weight_map": {"a": 1}}', "name of a file"),
        ("text behind the index", '{"weight_map": {"a": "b"}} x', "behind the end"),
        ("an index 10^6 deep", '{"x": ' + "[" * 1_000_000, "deep"),
        ("an index with invalid UTF-8", b'{"weight_map": {"\xff": "b"}}', "UTF-8"),
]:
    bad.case(name, "FORMAT", says)(
        lambda folder, text=text: bad.write(folder / "m.index.json", text))


@bad.case("an index of 200 MB", "UNSUPPORTED", "at most 100000000")
def _(folder):
    return bad.sparse(folder / "m.index.json", 200 << 20, b'{"')


@bad.case("an index of 90 MB of white space", "MEMORY")
def _(folder):
    return bad.sparse(folder / "m.index.json", 90_000_000, b'{"')


@bad.case("10^6 tensors of a shard with none of them", "MEMORY", ms=400)
def _(folder):
    bad.write(folder / "1.safetensors", shard(["a"]))
    return index(folder, {f"t{i}": "1.safetensors" for i in range(1_000_000)})


# --- names of shards ----------------------------------------------------------------------------

NAMES = {
    "..": ["../1.safetensors", "sub/../../1.safetensors", "..", "sub/..", "../../../../etc/passwd"],
    "absolute": ["/etc/passwd", "//server/share/x", "/"],
    "drive letter": ["C:/x.safetensors", "c:x.safetensors"],
    "backslash": ["..\\x.safetensors", "\\\\server\\share\\x", "C:\\x", "sub\\x.safetensors"],
    "control characters": ["a\nb.safetensors", "\x1b[2Jx", "a\x7f"],
    "empty": [""],
    "nothing between its slashes": ["./1.safetensors", "sub//1.safetensors", "sub/", "."],
    "longer than 1024": ["x" * 2000],
    "an index itself": ["m.index.json", "other.json"],
}
for says, names in NAMES.items():
    for name in names:
        bad.case(f"shard named {name[:40]!r}", "FORMAT", [says, "shard name"], item="a")(
            lambda folder, name=name: index(folder, {"a": name}, name="m.index.json"))


@bad.case("shard name with NUL", "FORMAT", "NUL")
def _(folder):
    return bad.write(folder / "m.index.json", '{"weight_map": {"a": "1.safetensors\\u0000.txt"}}')


@bad.case("shard of a shard: the index names itself under another name", "UNSUPPORTED",
          "a shard index where a model file should be")
def _(folder):
    path = index(folder, {"a": "m.safetensors"}, name="m.index.json")
    os.symlink("m.index.json", folder / "m.safetensors")
    return path


# --- what the names lead to ---------------------------------------------------------------------


@bad.case("missing shard", "NOT_FOUND", ["2.safetensors", "missing", "index"])
def _(folder):
    path = index(folder, two(folder))
    os.unlink(folder / "2.safetensors")
    return path


@bad.case("shard is a FIFO", "FILE", "pipe")
def _(folder):
    os.mkfifo(folder / "1.safetensors")
    return index(folder, {"a": "1.safetensors"})


@bad.case("shard is a folder", "FILE", "folder")
def _(folder):
    os.mkdir(folder / "1.safetensors")
    return index(folder, {"a": "1.safetensors"})


@bad.case("shard is a device, by a link", "FILE", "leads out of its folder, to /dev/zero")
def _(folder):
    os.symlink("/dev/zero", folder / "1.safetensors")
    return index(folder, {"a": "1.safetensors"})


@bad.case("shard is a link to /etc/passwd", "FILE", "leads out of its folder, to /etc/passwd")
def _(folder):
    os.symlink("/etc/passwd", folder / "1.safetensors")
    return index(folder, {"a": "1.safetensors"})


@bad.case("shard is a link to a neighbour folder of a like name", "FILE", "leads out of its folder")
def _(folder):
    bad.write(folder / "model-secret" / "1.safetensors", shard(["a"]))
    (folder / "model").mkdir()
    os.symlink("../model-secret/1.safetensors", folder / "model" / "1.safetensors")
    return index(folder / "model", {"a": "1.safetensors"})


@bad.case("shard lies in a linked folder outside", "FILE", "leads out of its folder")
def _(folder):
    bad.write(folder / "elsewhere" / "1.safetensors", shard(["a"]))
    (folder / "model").mkdir()
    os.symlink("../elsewhere", folder / "model" / "sub")
    return index(folder / "model", {"a": "sub/1.safetensors"})


@bad.case("shard is a link inside the folder", "OK", tensors={"a": {"values": [1]}})
def _(folder):
    bad.write(folder / "data" / "1.safetensors", shard(["a"]))
    os.symlink("data/1.safetensors", folder / "1.safetensors")
    return index(folder, {"a": "1.safetensors"})


@bad.case("shard is a link to itself", "FILE")
def _(folder):
    os.symlink("1.safetensors", folder / "1.safetensors")
    return index(folder, {"a": "1.safetensors"})


@bad.case("shards are links in a circle", "FILE")
def _(folder):
    os.symlink("1.safetensors", folder / "2.safetensors")
    os.symlink("2.safetensors", folder / "1.safetensors")
    return index(folder, {"a": "1.safetensors"})


@bad.case("shard is a link that leads nowhere", "NOT_FOUND", "leads nowhere")
def _(folder):
    os.symlink("gone", folder / "1.safetensors")
    return index(folder, {"a": "1.safetensors"})


def cache(folder, target, repository="models--org--name", revision="snapshots/0123abcd"):
    """A Hugging Face cache whose shard is a link to `target`, and the index one to its blob."""
    snapshot = folder / repository / revision
    snapshot.mkdir(parents=True)
    blobs = folder / repository / "blobs"
    blobs.mkdir(exist_ok=True)
    bad.write(blobs / "aaaa", shard(["a"], 7))
    index(blobs, {"a": "1.safetensors"}, name="bbbb")
    up = "../" * len((snapshot.relative_to(folder / repository)).parts)
    os.symlink(f"{up}blobs/bbbb", snapshot / "model.safetensors.index.json")
    os.symlink(target.format(up=up), snapshot / "1.safetensors")
    return snapshot


IN_CACHE = {"a": {"values": [7]}}
bad.case("Hugging Face cache: links to blobs", "OK", tensors=IN_CACHE)(
    lambda folder: cache(folder, "{up}blobs/aaaa") / "model.safetensors.index.json")
bad.case("Hugging Face cache: by the snapshot's folder", "OK", tensors=IN_CACHE)(
    lambda folder: cache(folder, "{up}blobs/aaaa"))
bad.case("Hugging Face cache: a folder below the snapshot", "OK", tensors=IN_CACHE)(
    lambda folder: cache(folder, "{up}blobs/aaaa", revision="snapshots/0123abcd/transformer"))
bad.case("Hugging Face cache: a link to /etc/passwd", "FILE", "leads out")(
    lambda folder: cache(folder, "/etc/passwd"))
bad.case("no Hugging Face cache: the same layout under another name", "FILE", "leads out")(
    lambda folder: cache(folder, "{up}blobs/aaaa", repository="model"))


@bad.case("Hugging Face cache: a link to another repository's blob", "FILE", "leads out")
def _(folder):
    bad.write(folder / "models--org--secret" / "blobs" / "aaaa", shard(["a"]))
    return cache(folder, "{up}../models--org--secret/blobs/aaaa")


@bad.case("Hugging Face cache: a link to a folder below the blobs", "FILE", "leads out")
def _(folder):
    bad.write(folder / "models--org--name" / "blobs" / "sub" / "aaaa", shard(["a"]))
    return cache(folder, "{up}blobs/sub/aaaa")


@bad.case("Hugging Face cache: a blob that is a link out", "FILE", "leads out")
def _(folder):
    snapshot = cache(folder, "{up}blobs/cccc")
    os.symlink("/etc/passwd", folder / "models--org--name" / "blobs" / "cccc")
    return snapshot


# --- tensors in shards --------------------------------------------------------------------------


@bad.case("the same tensor in two shards", "FORMAT", ["2.safetensors", "'a' is there twice"], item="a")
def _(folder):
    bad.write(folder / "1.safetensors", shard(["a"]))
    bad.write(folder / "2.safetensors", shard(["a", "b"]))
    return index(folder, {"a": "1.safetensors", "b": "2.safetensors"})


@bad.case("a tensor of the map that is not in its shard", "NOT_FOUND", "should be in 1.safetensors",
          item="b")
def _(folder):
    bad.write(folder / "1.safetensors", shard(["a"]))
    return index(folder, {"a": "1.safetensors", "b": "1.safetensors"})


@bad.case("a tensor of the map that is in another shard", "FORMAT",
          ["should be in 2.safetensors and is in", "1.safetensors"], item="b")
def _(folder):
    names = two(folder)
    names["b"] = "2.safetensors"
    return index(folder, names)


@bad.case("a tensor twice in the map", "FORMAT", "twice", item="a")
def _(folder):
    two(folder)
    return bad.write(folder / "m.index.json", '{"weight_map": {"a": "1.safetensors", '
                     '"a": "1.safetensors", "b": "1.safetensors"}}')


@bad.case("a shard that is not whole", "TRUNCATED", ["2.safetensors", "cut off"], item="c")
def _(folder):
    path = index(folder, two(folder))
    os.truncate(folder / "2.safetensors", os.path.getsize(folder / "2.safetensors") - 1)
    return path


# --- folders ------------------------------------------------------------------------------------


@bad.case("an empty folder", "NOT_FOUND", "no model file")
def _(folder):
    return folder


@bad.case("a folder with other files", "NOT_FOUND", "no model file")
def _(folder):
    bad.write(folder / "config.json", "{}")
    bad.write(folder / ".hidden.safetensors", shard(["a"]))
    (folder / "sub.safetensors").mkdir()
    return folder


@bad.case("a folder with one model under any name", "OK", tensors={"a": {}})
def _(folder):
    bad.write(folder / "config.json", "{}")
    bad.write(folder / "whatever.safetensors", shard(["a"]))
    return folder


@bad.case("a folder with two models", "ARGUMENT", ["several models", "x.safetensors, y.safetensors"])
def _(folder):
    bad.write(folder / "y.safetensors", shard(["a"]))
    bad.write(folder / "x.safetensors", shard(["a"]))
    return folder


@bad.case("a folder with a dozen models", "ARGUMENT", ["several models", "and 6 more"])
def _(folder):
    for i in range(12):
        bad.write(folder / f"{i:02}.safetensors", shard(["a"]))
    return folder


@bad.case("a folder with a model and an optimizer", "OK", tensors={"a": {}})
def _(folder):
    bad.write(folder / "model.safetensors", shard(["a"]))
    bad.write(folder / "optimizer.pt", b"\0")
    bad.write(folder / "training_args.bin", b"\0")
    return folder


@bad.case("a folder with shards and their index of another name", "OK", tensors=FOUND)
def _(folder):
    return index(folder, two(folder), name="diffusion.safetensors.index.json").parent


@bad.case("a folder whose model is a link to /etc/passwd", "FILE", "leads out")
def _(folder):
    os.symlink("/etc/passwd", folder / "model.safetensors")
    return folder


@bad.case("a model named directly may be a link", "OK", tensors={"a": {}})
def _(folder):
    bad.write(folder / "real" / "x.safetensors", shard(["a"]))
    (folder / "here").mkdir()
    os.symlink("../real/x.safetensors", folder / "here" / "x.safetensors")
    return folder / "here" / "x.safetensors"


bad.main()
