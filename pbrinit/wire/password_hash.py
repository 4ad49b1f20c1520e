"""A password's hash: made on the machine that builds the image, compared on the appliance.

In: a password.  Out: its hash, or whether it fits one.  Both by crypt(3) of the system's libcrypt,
which Python's library no longer has (PEP 594).  Source of the forms: crypt(5).
"""

from __future__ import annotations

import ctypes
import os

LIBRARY = "libcrypt.so.1"
FORMS = {"$6$": 86, "$y$": 43}
"""SHA-512 in many rounds, and yescrypt, which takes 16 MiB of memory besides; and how many
characters the hash itself has."""

FIELDS = (3, 4)
"""Before the hash: nothing, the form, what it is to cost where that is said, the salt."""

FORM, ROUNDS = "$6$", 500_000
"""Half a second on the machines that this is for. It needs no memory, which may be short."""

LONGEST = 256
"""Of a password, in bytes (CRYPT_MAX_PASSPHRASE_SIZE is 512)."""

_SETTING_SIZE, _SALT_SIZE = 192, 16


class PasswordError(Exception):
    """A password that cannot be hashed; the text says why."""


def hash_password(password: str) -> str:
    """A hash of the password, with a salt of its own.

    Raises PasswordError.
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
    """Whether it is the password of this hash, in a time that does not depend on how near it is.

    Raises PasswordError where the hash is none.
    """
    from _operator import _compare_digest  # noqa: PLC0415  what hmac.compare_digest is

    if len(password.encode("utf-8", "surrogateescape")) > LONGEST or "\0" in password:
        return False
    found = _crypt(_library(), password, hashed)
    return _compare_digest(found, hashed)


def is_hash(text: str) -> bool:
    """Whether it looks like a hash that `fits` takes."""
    setting, _, hashed = text.rpartition("$")
    fields = setting.split("$")
    return len(fields) in FIELDS and all(fields[1:]) and len(hashed) == FORMS.get(setting[:3])


def _library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError:
        raise PasswordError(f"there is no {LIBRARY} here") from None


def _crypt(library: ctypes.CDLL, password: str, setting: str) -> str:
    library.crypt.restype = ctypes.c_char_p
    found = library.crypt(password.encode("utf-8", "surrogateescape"), setting.encode())
    # A failure is told by a text that is no hash (crypt(3), "failure tokens").
    if not found or not found.startswith(b"$"):
        raise PasswordError("the hash cannot be made: it has a form that is not known here")
    return str(found.decode())
