"""Password hashes: made on the machine that builds the image, checked on the appliance.

In: a password.  Out: its hash, or whether it matches a hash.  Both use crypt(3) of the system's
libcrypt; Python's library no longer has it (PEP 594).  Source of the hash formats: crypt(5).
"""

from __future__ import annotations

import ctypes
import os

LIBRARY = "libcrypt.so.1"
FORMS = {"$6$": 86, "$y$": 43}
"""The formats that are accepted, and how many characters the hash itself has: SHA-512 in many
rounds, and yescrypt, which also needs 16 MiB of memory."""

FIELDS = (3, 4)
"""How many fields come before the hash: an empty one, the format, the cost where it is given, and
the salt."""

FORM, ROUNDS = "$6$", 500_000
"""Format and cost of a new hash: half a second on the machines that this is for. It needs no
memory, which may be short."""

LONGEST = 256
"""Length of the longest password in bytes (CRYPT_MAX_PASSPHRASE_SIZE is 512)."""

_SETTING_SIZE, _SALT_SIZE = 192, 16


class PasswordError(Exception):
    """A password that cannot be hashed, or a hash that cannot be checked; the text says why."""


def hash_password(password: str) -> str:
    """The hash of a password in the format FORM, with a new random salt.

    Raises PasswordError where the password is empty, too long or has a zero byte, or where there
    is no libcrypt.
    """
    if not password or len(password.encode()) > LONGEST or "\0" in password:
        raise PasswordError(f"a password has 1 to {LONGEST} bytes, none of them 0")
    library = _library()
    library.crypt_gensalt_rn.restype = ctypes.c_char_p
    setting = ctypes.create_string_buffer(_SETTING_SIZE)
    library.crypt_gensalt_rn(
        FORM.encode(), ctypes.c_ulong(ROUNDS), os.urandom(_SALT_SIZE), _SALT_SIZE, setting,
        _SETTING_SIZE,
    )  # fmt: skip
    return _crypt(library, password, setting.value.decode())


def matches(password: str, hashed: str) -> bool:
    """Whether this is the password of the hash. The comparison takes the same time wherever the
    first difference is.

    Raises PasswordError where the text is not a hash that this libcrypt can check.
    """
    from _operator import _compare_digest  # noqa: PLC0415  what hmac.compare_digest is

    if len(password.encode("utf-8", "surrogateescape")) > LONGEST or "\0" in password:
        return False
    computed = _crypt(_library(), password, hashed)
    return _compare_digest(computed, hashed)


def is_hash(text: str) -> bool:
    """Whether the text has the form of a hash that `matches` accepts."""
    setting, _, hashed = text.rpartition("$")
    fields = setting.split("$")
    return len(fields) in FIELDS and all(fields[1:]) and len(hashed) == FORMS.get(setting[:3])


def _library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError:
        raise PasswordError(f"there is no {LIBRARY} on this machine") from None


def _crypt(library: ctypes.CDLL, password: str, setting: str) -> str:
    library.crypt.restype = ctypes.c_char_p
    computed = library.crypt(password.encode("utf-8", "surrogateescape"), setting.encode())
    # After a failure the result is a text that is not a hash (crypt(3), "failure tokens").
    if not computed or not computed.startswith(b"$"):
        raise PasswordError("the hash cannot be computed: this libcrypt does not know its format")
    return str(computed.decode())
