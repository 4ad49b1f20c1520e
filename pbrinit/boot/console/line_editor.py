"""What a person gets at a prompt: the line can be changed, lines come back, words are completed.

In: the words that there are.  Out: nothing; from then on `input` does it, by GNU Readline.
"""

from __future__ import annotations

import os
import readline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

HISTORY = 100


def prepare(words: Sequence[str]) -> None:
    """Complete the first word of a line from these, and keep the last lines."""
    # There is no description of terminals in the image; Readline manages without.
    os.environ["TERM"] = "dumb"
    readline.parse_and_bind("tab: complete")
    readline.parse_and_bind("set enable-bracketed-paste off")
    readline.set_completer_delims(" ")
    readline.set_history_length(HISTORY)

    def complete(text: str, number: int) -> str | None:
        if readline.get_begidx() > 0:
            return None
        fitting = sorted({f"{word} " for word in words if word.startswith(text)})
        return fitting[number] if number < len(fitting) else None

    readline.set_completer(complete)
