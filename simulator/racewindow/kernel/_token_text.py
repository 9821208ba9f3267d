"""How the parts of a token become text that is short, has no blanks, and is safe in a shell.

The dictionaries belong to token version rw2, like the tables of a compression format: a word that is in one costs one or two
characters. They have what names of session cases and of places in them are made of, since those are long; whatever else there is is
written as it is. A word may be added, since no older token has its code; none may be changed or taken away without a new version.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import quote, unquote

_SAFE = "/.:"  # besides letters, digits and _.-~; "~" is our separator


class Dictionary:
    """Writes a text with a code for every word it knows, and reads it again.

    Args:
        words: their codes. No other text can look like one, for ``=`` and ``+`` are escaped.
    """

    def __init__(self, words: dict[str, str]) -> None:
        self._codes = words
        self._words = {code: word for word, code in words.items()}
        self._known = re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)))

    def shorten(self, text: str) -> str:
        parts, end = [], 0
        for found in self._known.finditer(text):
            parts += [escape(text[end : found.start()]), self._codes[found[0]]]
            end = found.end()
        return "".join([*parts, escape(text[end:])])

    def lengthen(self, text: str) -> str:
        return "".join(self._words.get(part) or unquote(part) for part in re.split(r"(=.|\+)", text))


SUBJECT = Dictionary(
    {
        # A scenario's text: capitals for the first operation of a client, small letters for those that follow, and the next client.
        ": add ": "=A",
        ": after ": "=F",
        ": cancel ": "=X",
        ": commit nowait": "=N",
        ": commit": "=C",
        ": crash ": "=K",
        ": power-loss": "=L",
        ": reload": "=R",
        "; add ": "=a",
        "; cancel ": "=x",
        "; commit nowait": "=n",
        "; commit": "=c",
        "; crash ": "=k",
        "; crash": "=b",
        "; power-loss": "=l",
        "; reload": "=r",
        "; wait": "=w",
        "; retry ": "=y",
        "; ": "=o",
        ": ": "=p",
        " | ": "+",
        "-early-clear": "=e",
        # Faults.
        "extractor fails": "=f",
        "extractor hangs": "=h",
        "extractor slows": "=s",
        "storage fails": "=g",
        "storage forgets": "=G",
        "queue loses": "=q",
        "queue repeats": "=Q",
        "clock ahead": "=t",
        "clock back": "=T",
        # Topology, granularity, time.
        "/same-handle": "=1",
        "/same-store": "=2",
        "/separate-stores": "=3",
        "/suspending": "=4",
        "/atomic": "=5",
        "/adversarial": "=6",
    }
)
"""For the name of the subject.

>>> SUBJECT.shorten("path-lock/a: add m1; commit | b: reload; commit/same-store/atomic")
'path-lock/a=Am1=c+b=R=c=2=5'
>>> SUBJECT.lengthen("path-lock/a=Am1=c+b=R=c=2=5")
'path-lock/a: add m1; commit | b: reload; commit/same-store/atomic'
"""

PLACE = Dictionary(
    {
        "main": "=m",
        "/commit": "=c",
        "commit/": "=C",
        "commit nowait": "=n",
        "add ": "=a",
        "reload/": "=r",
        "crash ": "=K",
        "extract/answer": "=x",
        "archive.write": "=w",
        "archives.list": "=i",
        "temp.": "=t",
        "lock.acquire": "=l",
        "commit": "=o",
        "store": "=s",
    }
)
"""For roles and labels."""


def escape(text: str) -> str:
    """Write a name without the dictionary."""
    return quote(text, safe=_SAFE).replace("~", "%7E")


def pack(digits: str) -> str:
    """Six characters for eight hex digits.

    >>> pack("6e765154"), unpack(pack("6e765154"))
    ('bnZRVA', '6e765154')
    """
    return urlsafe_b64encode(bytes.fromhex(digits)).decode().rstrip("=")


def unpack(text: str) -> str:
    """Read what :func:`pack` wrote."""
    return urlsafe_b64decode(f"{text}==").hex()
