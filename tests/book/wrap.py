#!/usr/bin/env python3
"""Wraps Markdown at 100 columns: `tests/book/wrap.py FILE…`. With --check it only names the files that it would change.

Paragraphs and list items are wrapped anew. Headings, tables, code, comments and HTML stay as they are, and so do
words, code spans and the targets of links, however long they are.
"""

import re
import sys
from pathlib import Path

WIDTH = 100
ITEM = re.compile(r"^( *)([-*+]|\d+[.)]) +")
# What would begin a list, heading or quotation at the start of a line.
NO_START = re.compile(r"^([-+*>|]|#+|=+|\d+[.)])$")
PIECE = re.compile(r"`[^`]*`|\S")


def words(text):
    """Split at white space outside of code spans."""
    found = [""]
    end = 0
    for piece in PIECE.finditer(text):
        if piece.start() > end:
            found.append("")
        found[-1] += re.sub(r"\s+", " ", piece.group())
        end = piece.end()
    return [word for word in found if word]


def wrapped(text, first, rest):
    lines, line = [], first
    for word in words(text):
        is_start = line in (first, rest) and line.strip() in ("", first.strip())
        if not is_start and len(line) + 1 + len(word) > WIDTH and not NO_START.match(word):
            lines.append(line)
            line, is_start = rest, True
        line += word if is_start else " " + word
    return lines + [line]


def is_verbatim(line):
    return line.lstrip().startswith(("|", "<", "#", "![")) or line.endswith(("  ", "\\"))


def rewrap(text):
    out, lines, at = [], text.split("\n"), 0
    content = 0  # the column that the text of the list item at hand begins at
    while at < len(lines):
        line = lines[at]
        indent = len(line) - len(line.lstrip())
        item = ITEM.match(line)
        if line.lstrip().startswith("```"):
            out.append(line)
            at += 1
            while not lines[at].lstrip().startswith("```"):
                out.append(lines[at])
                at += 1
        elif line.strip() and not item and indent < content and (not out or not out[-1].strip()):
            content = 0
            continue
        elif not line.strip() or is_verbatim(line) or (not item and indent >= content + 4):
            pass
        else:
            first = item.group() if item else " " * content
            content = len(first)
            paragraph = [line[len(first):] if item else line]
            while at + 1 < len(lines):
                after = lines[at + 1]
                if not after.strip() or ITEM.match(after) or is_verbatim(after) or "```" in after:
                    break
                paragraph.append(after)
                at += 1
            out += wrapped(" ".join(paragraph), first, " " * content)
            at += 1
            continue
        out.append(lines[at])
        at += 1
    return "\n".join(out)


def main():
    is_check = "--check" in sys.argv
    others = []
    for path in map(Path, (name for name in sys.argv[1:] if name != "--check")):
        if path.suffix != ".md":
            sys.exit(f"{path}: expected Markdown (`.md`), got another file")
        before = path.read_text()
        after = rewrap(before)
        if before != after:
            others.append(path)
            if not is_check:
                path.write_text(after)
    if is_check and others:
        sys.exit("\n".join(f"{path}: is not wrapped at {WIDTH} columns" for path in others))


if __name__ == "__main__":
    main()
