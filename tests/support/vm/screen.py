"""A guest's screen and keyboard, by QEMU's monitor.

In: the monitor's socket, keys.  Out: pictures of the screen.
"""

from __future__ import annotations

import socket
import struct
import time
import zlib
from pathlib import Path
from types import TracebackType

KEYS = {" ": "spc", "\n": "ret", "-": "minus", ".": "dot", "/": "slash"}
SECONDS = 30.0


class Screen:
    """A running guest's monitor. A context manager."""

    def __init__(self, path: Path) -> None:
        """Wait for QEMU to open the socket at `path`."""
        end = time.monotonic() + SECONDS
        while True:
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                self._socket.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
            else:
                break
        self._socket.settimeout(SECONDS)
        self._until_prompt()

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def command(self, line: str) -> None:
        """One command of QEMU's monitor (qemu-monitor(7))."""
        self._socket.sendall(line.encode() + b"\n")
        self._until_prompt()

    def type(self, text: str) -> None:
        """Press keys, one after the other."""
        for letter in text:
            self.command(f"sendkey {KEYS.get(letter, letter)}")
            time.sleep(0.15)

    def picture(self, path: Path) -> Picture:
        """The screen's contents now, also written as a PNG file to `path`."""
        dump = path.with_suffix(".ppm")
        self.command(f"screendump {dump.absolute()}")
        picture = Picture(dump.read_bytes())
        dump.unlink()
        path.write_bytes(picture.png())
        return picture

    def _until_prompt(self) -> None:
        output = b""
        while not output.endswith(b"(qemu) "):
            part = self._socket.recv(4096)
            if not part:
                return
            output += part


class Picture:
    """A picture with three bytes for each pixel."""

    def __init__(self, ppm: bytes) -> None:
        """Read the format P6 (ppm(5)) as QEMU writes it: three lines, then the pixels."""
        _, size, _, self.dots = ppm.split(b"\n", 3)
        self.width, self.height = (int(word) for word in size.split())

    def lit_bytes(self) -> int:
        """How many of its bytes are not 0 (black)."""
        return len(self.dots) - self.dots.count(0)

    def shade_count(self) -> int:
        """How many different values its bytes have: text on black has two or three."""
        return len(set(self.dots))

    def png(self) -> bytes:
        """The picture as PNG (RFC 2083)."""
        line = self.width * 3
        rows = (self.dots[at : at + line] for at in range(0, len(self.dots), line))
        head = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        body = zlib.compress(b"".join(b"\0" + row for row in rows))
        chunks = ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
