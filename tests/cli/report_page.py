"""The report: well-formed, self-contained, accessible, and it says what `show --json` says."""
import html.parser
import json
import os
import re
import subprocess
import sys
import tempfile

SONDE = os.environ["SONDE"]
VOID = {"meta", "link", "br", "img", "input", "hr"}
SHAPES = {"path", "line", "rect", "circle"}


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.ids, self.text, self.problems, self.svg = [], [], "", [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        names = list(attributes)
        if len(names) != len(set(names)):
            self.problems.append(f"<{tag}> has an attribute twice")
        if tag in ("script", "link", "iframe", "object", "embed", "img", "base", "form"):
            self.problems.append(f"<{tag}> has no place here")
        for name, value in attributes.items():
            if name in ("src", "href", "srcset", "action", "data") or name.startswith("on"):
                self.problems.append(f"{name} in <{tag}>")
            if value and re.search(r"\bnan\b|\binf\b", value) and name not in ("class",):
                self.problems.append(f"{name}={value[:60]}")
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "svg" and attributes.get("aria-hidden") != "true":
            self.svg.append(attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes something else")

    def handle_data(self, data):
        self.text += data


def check_page(path):
    source = open(path, encoding="utf-8").read()
    page = Page()
    page.feed(source)
    page.close()
    assert not page.problems, page.problems[:5]
    assert not page.open, page.open
    assert len(page.ids) == len(set(page.ids)), "an id twice"
    assert "://" not in source and "url(" not in source and "@import" not in source
    assert source.startswith("<!doctype html>") and 'lang="en"' in source
    for svg in page.svg:
        assert svg.get("role") == "img" and "viewbox" in svg, svg
        assert all(name in page.ids for name in svg["aria-labelledby"].split()), svg
    return page


def main():
    os.chdir(tempfile.mkdtemp())
    base = ["--train-size", "300", "--batch", "50", "--threads", "1", "--quiet"]
    runs = {
        "<b>&amp;'\"": ["--model", "mlp:widths=128x64", "--test-size", "100", "--epochs", "4",
                        "--label-noise", "0.2", "--probe", "held:40"],
        "one": ["--model", "mlp:widths=16", "--epochs", "1", "--no-spectrum", "--no-skip",
                "--no-test-each-epoch"],
        "diverged": ["--model", "mlp:widths=32", "--epochs", "3", "--lr", "1e5", "--clip", "0"],
    }
    for name, options in runs.items():
        done = subprocess.run([SONDE, "train", *base, *options, "--run", name],
                              capture_output=True, text=True)
        assert done.returncode == (name == "diverged"), (name, done.stderr)
        if name == "diverged":
            assert done.stderr.count("\n") == 1 and "--lr" in done.stderr, done.stderr
        subprocess.run([SONDE, "report", name, "-o", "r.html", "--quiet"], check=True)
        page = check_page("r.html")
        shown = json.loads(subprocess.run([SONDE, "show", name, "--json"], capture_output=True,
                                          check=True, text=True).stdout)
        if shown["keep"]["epoch"] is not None:
            assert f"Epoch {shown['keep']['epoch']} of {shown['epochs_run']}" in page.text
        assert name in page.text.replace("\xa0", " ")
        if shown["test_used_for"]:
            assert "used only to report accuracy" in page.text


if __name__ == "__main__":
    sys.exit(main())
