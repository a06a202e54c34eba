"""What the tables of bad files share: cases, and the run that compares them with open_model.

A table is a script beside this file:

    import bad

    @bad.case("header length 0", "FORMAT", "begin with '{'", at=8)
    def _(folder):
        return bad.write(folder / "a.safetensors", bytes(8))

    bad.main()

The function makes a file (or several) in an empty folder and returns the path to open. The status is
that of sonde.h without SONDE_ERROR_, or "OK"; `says` is part of the message (a text, or several that
must all be there). Whatever the case: the program must not crash, must free all it took, stay within
its budget, and be done in `ms` milliseconds of its own time.

Accepted files ("OK") are given what is to be found instead: `tensors` (a count, or {name: {...}} with
any fields of open_model's listing), `warns` (part of a warning; without it there must be none),
`metadata`, `kind`, `files`.

With SONDE in the environment the command must agree: `sonde show PATH --json` ends with 1 (2 where
what was asked is wrong) and the same words, or with 0 and the same count of tensors.

    [SONDE=build/sonde] python3 tests/bad/TABLE.py OPEN_MODEL [part of a case's name]
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

CASES = []
BUDGET = 64 << 20
# The C library and its buffers, beside what the context counts.
SLACK_KB = 8 << 10


def case(name, status, says="", *, item=None, at=None, tensors=None, warns=None, metadata=None,
         kind=None, files=None, ms=100, budget=BUDGET, arguments=()):
    """Registers the function below it. `arguments`: further ones of open_model; {folder} is filled in."""
    def register(make):
        CASES.append(dict(name=name, status=status, make=make, item=item, at=at, tensors=tensors,
                          says=[says] if isinstance(says, str) else says, warns=warns,
                          metadata=metadata, kind=kind, files=files, ms=ms, budget=budget,
                          arguments=arguments))
        return make
    assert all(each["name"] != name for each in CASES), f"two cases are named {name!r}"
    return register


def write(path, content):
    """Writes bytes, or text as UTF-8, and returns the path."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def sparse(path, size, head=b""):
    """A file of `size` bytes that takes no room on the disk beside its head."""
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(size)
    return path


def differs(found, wanted):
    """Whether a value of the listing is not what the table has; NaN is NaN."""
    if isinstance(wanted, list):
        return len(found) != len(wanted) or any(map(differs, found, wanted))
    if wanted != wanted:
        return found == found
    return found != wanted


def faults_of_listing(one, about):
    faults = []
    if isinstance(one["tensors"], int) and about["tensors"] != one["tensors"]:
        faults.append(f"{about['tensors']} tensors, not {one['tensors']}")
    if isinstance(one["tensors"], dict):
        found = {tensor["name"]: tensor for tensor in about["listing"]}
        if set(found) != set(one["tensors"]):
            faults.append(f"tensors {sorted(found)}, not {sorted(one['tensors'])}")
        for name, fields in one["tensors"].items():
            for key, value in fields.items():
                if name in found and differs(found[name][key], value):
                    faults.append(f"{name}: {key} is {found[name][key]}, not {value}")
    warnings = "\n".join(about["warnings"])
    if one["warns"] is None and warnings:
        faults.append(f"warns: {warnings}")
    if one["warns"] is not None and one["warns"] not in warnings:
        faults.append(f"does not warn of {one['warns']!r}; warnings: {warnings!r}")
    for key in ("metadata", "kind", "files"):
        if one[key] is not None and about[key] != one[key]:
            faults.append(f"{key} is {about[key]}, not {one[key]}")
    return faults


def faults_of(one, about):
    faults = []
    status = about["status"].replace("SONDE_ERROR_", "").replace("SONDE_", "")
    if status != one["status"]:
        faults.append(f"{status}, not {one['status']}")
    for part in one["says"]:
        if part not in about["message"]:
            faults.append(f"the message does not say {part!r}")
    if status != "OK" and not (about["file"] or "memory" in about["message"] or status == "MEMORY"):
        faults.append("the error names no file")
    if one["item"] is not None and about["item"] != one["item"]:
        faults.append(f"item {about['item']!r}, not {one['item']!r}")
    if one["at"] is not None and about["at"] != one["at"]:
        faults.append(f"offset {about['at']}, not {one['at']}")
    if about["left"]:
        faults.append(f"{about['left']} bytes were not freed")
    sanitized = about.get("sanitized", False)
    if about["ms"] > one["ms"] * (20 if sanitized else 1):
        faults.append(f"took {about['ms']} ms, not {one['ms']}")
    if one["budget"] and about["peak"] > one["budget"]:
        faults.append(f"{about['peak']} bytes held, more than {one['budget']}")
    if one["budget"] and about["resident_kb"] > one["budget"] / 1024 + SLACK_KB and not sanitized:
        faults.append(f"grew by {about['resident_kb']} KiB")
    if not faults and status == "OK":
        faults = faults_of_listing(one, about)
    return faults


def faults_of_command(one, path, about):
    """What the command does otherwise than open_model did; it has no budget, cuts no file and reads no
    numbers."""
    command = os.environ.get("SONDE")
    if not command or one["arguments"] or one["status"] == "MEMORY" or one["budget"] > BUDGET:
        return []
    if about["opened"] and one["status"] != "OK":
        return []
    done = subprocess.run([command, "show", str(path), "--json"], capture_output=True, timeout=60,
                          check=False)
    said = done.stderr.decode(errors="replace")
    if done.returncode != {"OK": 0, "ARGUMENT": 2}.get(one["status"], 1):
        return [f"the command ended with {done.returncode}: {said[-3000:]}"]
    if one["status"] != "OK":
        return [f"the command does not say {part!r} but {said!r}" for part in one["says"]
                if part not in said] + (["the command printed a result"] if done.stdout else [])
    count = json.loads(done.stdout)["tensor_count"]
    if count != about["tensors"]:
        return [f"the command shows {count} tensors, not {about['tensors']}"]
    return []


def run(program, one, folder):
    path = one["make"](pathlib.Path(folder))
    arguments = [str(each).replace("{folder}", folder) for each in one["arguments"]]
    done = subprocess.run([program, str(path), "--budget", str(one["budget"])] + arguments,
                          capture_output=True, timeout=60, check=False)
    error = done.stderr.decode(errors="replace")
    if done.returncode not in (0, 1):
        return [f"ended with {done.returncode}: {error[-3000:]}"], None
    about = json.loads(done.stdout.decode(errors="replace"))
    faults = faults_of(one, about) or faults_of_command(one, path, about)
    left = [name for name in os.listdir(folder) if ".tmp-" in name]
    if left:
        faults.append(f"left {left} behind")
    return faults, about


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else os.environ["SONDE_OPEN_MODEL"]
    part = sys.argv[2] if len(sys.argv) > 2 else ""
    failed, slowest = 0, (0.0, "")
    chosen = [one for one in CASES if part in one["name"]]
    for one in chosen:
        with tempfile.TemporaryDirectory(prefix="sonde-bad-") as folder:
            try:
                faults, about = run(program, one, folder)
            except Exception as error:  # a table's own mistake is a failure of its case
                faults, about = [repr(error)], None
        if about:
            slowest = max(slowest, (about["ms"], one["name"]))
        if faults:
            failed += 1
            print(f"FAILED {one['name']}")
            for fault in faults:
                print(f"    {fault}")
        if about and (faults or part):
            print(f"    {about['status']}: {about['message']} {about['warnings'] if 'warnings' in about else ''}")
    print(f"{len(chosen)} cases, {failed} failed; slowest {slowest[0]:.1f} ms ({slowest[1]})")
    sys.exit(1 if failed or not chosen else 0)
