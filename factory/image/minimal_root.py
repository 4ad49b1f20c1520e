"""A new root with nothing but what PID 1 and pbrctl can use; runs inside the image, on its Python.

In: the checkout, as seen from inside the image, and the folder for the new root.
Out: that folder: the interpreter, the closures of PID 1's imports and of pbrctl's as bytecode, the
shared libraries of all, mkosi.extra; and `trial.py`, which imports every module that is there.
"""

from __future__ import annotations

import _imp
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from factory.image import import_closure

ENTRIES = ("pbrinit.boot.pid1", "pbrinit.boot.control.pbrctl")
# All of ours that these may import: the boot path knows neither TOML nor the compiler.
SHIPPED = ("pbrinit", "pbrinit.boot", "pbrinit.wire")
# A program of its own, which has both, so that a policy can be tried on the machine.
CONTROL = "pbrinit.cli.appliance.main"
# Imported by the interpreter itself, where no import statement shows it: the file system's
# and the console's encoding, and the two that a program names most.
IMPLICIT = ("encodings", "encodings.ascii", "encodings.latin_1", "encodings.utf_8")
# By this file the interpreter knows its library (CPython, Modules/getpath.py, STDLIB_LANDMARKS).
LANDMARK = "os"
# Where the kernel and PID 1 mount; a read-only folder would do, a missing one would not.
MOUNT_POINTS = ("dev", "proc", "run", "sys", "tmp")
# Loaded by name (pbrinit/wire/password_hash.py), where no import statement shows it.
PASSWORDS = Path("/usr/lib/x86_64-linux-gnu/libcrypt.so.1")
LOADER = Path("/lib64/ld-linux-x86-64.so.2")


def main(checkout: Path, root: Path) -> None:
    """Make the new root.  Ends with a message where the closure is not as it must be."""
    library = Path(sysconfig.get_path("stdlib"))
    search = [checkout, library, library / "lib-dynload"]
    cuts = import_closure.read_cuts(Path(__file__).with_name("import_cuts.toml"))
    boot = import_closure.find([*ENTRIES, *IMPLICIT], "pbrinit", search, cuts)
    # What its library would import late it must do without: all of it would be nine megabytes.
    control = import_closure.find([CONTROL, *IMPLICIT], "pbrinit", search, cuts, late=False)
    _check(boot, control)
    modules = sorted({*boot.modules, *control.modules}, key=lambda module: module.name)
    native = [Path(sys.executable).resolve(), PASSWORDS]
    for module in modules:
        if module.file is None:
            continue
        if module.file.suffix == ".so":
            native.append(module.file)
        elif module.name == LANDMARK or not _imp.is_frozen(module.name):
            ours = module.file.is_relative_to(checkout)
            relative = module.file.relative_to(checkout if ours else library)
            target = root / library.relative_to("/") / relative.with_suffix(".pyc")
            _compile(module.file, relative, target)
    for path in sorted({*native, *(library for program in native for library in _needed(program))}):
        _copy(path, root)
    (root / "usr/bin/python3").symlink_to(native[0].name)
    for name in ("lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for name in MOUNT_POINTS:
        (root / name).mkdir()
    shutil.copytree(checkout / "mkosi.extra", root, symlinks=True, dirs_exist_ok=True)
    (root / "trial.py").write_text("".join(f"import {module.name}\n" for module in modules))


def is_shipped(name: str) -> bool:
    """Whether PID 1 may import a module of ours."""
    return name in SHIPPED or name.startswith(("pbrinit.boot.", "pbrinit.wire."))


def _check(boot: import_closure.Closure, control: import_closure.Closure) -> None:
    strangers = [
        module.name
        for module in boot.modules
        if module.name.partition(".")[0] in ("pbrinit", "factory") and not is_shipped(module.name)
    ]
    if strangers:
        sys.exit(f"the boot path imports {', '.join(strangers)}: none of it is made for PID 1")
    missing = dict.fromkeys((*boot.missing, *control.missing))
    if missing:
        sys.exit("the image has no such module: " + "; ".join(missing))


def _compile(source: Path, name: Path, target: Path) -> None:
    """Bytecode in the place of the source; unchecked, as there is no source to check it by."""
    py_compile.compile(
        str(source),
        cfile=str(target),
        dfile=str(name),
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _needed(path: Path) -> list[Path]:
    """The loader and what it would load with `path` (ld.so(8), --list)."""
    listing = subprocess.run(
        [LOADER, "--list", path], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return [LOADER, *(Path(line.split()[2]) for line in listing.splitlines() if "=>" in line)]


def _copy(path: Path, root: Path) -> None:
    """A file, under the name by which it is asked for, where the links to it lead."""
    target = root / (path.parent.resolve() / path.name).relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
