"""On a terminal: one live line that fits, no colours with NO_COLOR, nothing left behind."""
import fcntl
import os
import pty
import re
import select
import struct
import sys
import tempfile
import termios

SONDE = os.environ["SONDE"]
OPTIONS = ["--model", "mlp:widths=32", "--train-size", "2000", "--test-size", "100", "--epochs",
           "8", "--threads", "1"]
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(arguments, columns, environment):
    """What the command writes to a terminal `columns` wide."""
    child, master = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.execve(SONDE, ["sonde", *arguments], {**os.environ, "TERM": "xterm", **environment})
    seen = b""
    while True:
        ready, _, _ = select.select([master], [], [], 120)
        assert ready, "the command hangs"
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, seen[-2000:]
    return seen.decode()


def main():
    os.chdir(tempfile.mkdtemp())
    for columns in (40, 80, 200):
        seen = on_terminal(["train", *OPTIONS, "--run", f"r{columns}"], columns,
                           {"NO_COLOR": ""})
        lives = [part for part in seen.replace("\n", "\r").split("\r")
                 if ESCAPE.sub("", part).startswith("epoch ")]
        assert lives, "no live line"
        for line in lives:
            assert len(ESCAPE.sub("", line)) < columns, (columns, line)
        assert "\x1b[K" in seen and seen.count("\x1b[?25l") == seen.count("\x1b[?25h")
        assert "\x1b[1m" in seen, "no colour on a terminal"
    plain = on_terminal(["train", *OPTIONS, "--run", "plain"], 80, {"NO_COLOR": "1"})
    assert not re.search(r"\x1b\[[0-9;]*m", plain), "colours in spite of NO_COLOR"
    dumb = on_terminal(["train", *OPTIONS, "--run", "dumb"], 80, {"TERM": "dumb"})
    assert "\x1b" not in dumb, "escape sequences on a dumb terminal"
    quiet = on_terminal(["train", *OPTIONS, "--run", "quiet", "--quiet"], 80, {})
    assert quiet == "", quiet


if __name__ == "__main__":
    sys.exit(main())
