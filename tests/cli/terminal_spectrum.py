"""Spectra on a terminal: tables fit it whatever its width, the live line is taken away again."""
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from terminal import ESCAPE, on_terminal  # noqa: E402

MAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "make_models.py")


def make(*arguments):
    subprocess.run([sys.executable, MAKE, *arguments], check=True)


def shown(text):
    """Lines as they stand on the screen: what a carriage return overwrote is gone."""
    return [ESCAPE.sub("", line.rstrip("\r").split("\r")[-1]) for line in text.split("\n")]


def main():
    os.chdir(tempfile.mkdtemp())
    make("safetensors", "model.safetensors")
    make("series", "run", "4")
    make("large", "large.safetensors")
    for columns in (60, 80, 100, 200):
        for arguments in (["spectrum", "model.safetensors"], ["spectrum", "run"],
                          ["keep", "run"], ["show", "model.safetensors"]):
            for line in shown(on_terminal(arguments, columns, {"NO_COLOR": ""})):
                assert len(line) <= min(columns, 100), (columns, arguments, line)
    seen = on_terminal(["spectrum", "large.safetensors"], 80, {"NO_COLOR": ""})
    lives = [ESCAPE.sub("", part) for part in seen.replace("\n", "\r").split("\r")
             if ESCAPE.sub("", part).startswith("layer ")]
    assert lives and all(len(line) < 80 for line in lives), lives
    assert not any(line.startswith("layer 1/") or "% " in line[:20] for line in shown(seen)
                   if not re.match(r"\s*layer\s+shape", line)), "the live line is left behind"
    assert "\x1b[1m" in seen, "no colour on a terminal"
    plain = on_terminal(["spectrum", "model.safetensors"], 80, {"NO_COLOR": "1"})
    assert not re.search(r"\x1b\[[0-9;]*m", plain), "colours in spite of NO_COLOR"


if __name__ == "__main__":
    sys.exit(main())
