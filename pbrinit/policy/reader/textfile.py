"""Text files as a person's editor writes them.

In: a path.  Out: the text, without the byte order mark that some editors put before it, or an
`AtomError` with the line that is no UTF-8 and what to do.
"""

from __future__ import annotations

from pathlib import Path

from pbrinit.policy.reader.scalars import AtomError

MARK = b"\xef\xbb\xbf"
"""UTF-8's byte order mark. Taken off here, since images have no codec that does it."""

WIDE = (b"\xff\xfe", b"\xfe\xff")
"""The byte order marks of UTF-16 (RFC 2781, section 3.2)."""


def text(path: Path) -> str:
    """The text in the file at `path`.

    Raises AtomError where it cannot be read or is not UTF-8.
    """
    try:
        data = path.read_bytes().removeprefix(MARK)
    except (OSError, ValueError) as error:
        raise AtomError(getattr(error, "strerror", None) or str(error)) from None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        wide = data.startswith(WIDE)
        found = "it is UTF-16" if wide else f"line {line}: byte {data[error.start]:#04x}"
        raise AtomError(f"{found}, not UTF-8", "save the file as UTF-8") from None
