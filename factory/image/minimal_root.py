"""Makes a new root with only what PID 1 and pbrctl can use; runs inside the image, on its Python.

In: the checkout, as seen from inside the image, and the folder for the new root. Out: that folder:
the interpreter, the modules that PID 1 and pbrctl can import as bytecode, all shared libraries,
mkosi.extra; and `trial.py`, which imports every module in it.
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
# Our modules that these may import: neither the TOML reader nor the compiler.
SHIPPED = ("pbrinit", "pbrinit.boot", "pbrinit.wire")
# Another program, which has both, so that a policy can be tried on the machine.
CONTROL = "pbrinit.cli.appliance.main"
# Imported by the interpreter itself, without an import statement: the encodings of the file system
# and the console, and the two that programs use most.
IMPLICIT = ("encodings", "encodings.ascii", "encodings.latin_1", "encodings.utf_8")
# The interpreter finds its library by this module (CPython, Modules/getpath.py, STDLIB_LANDMARKS).
LANDMARK = "os"
# Mount points of the kernel and PID 1.
MOUNT_POINTS = ("dev", "proc", "run", "sys", "tmp")
# Loaded by name, without an import statement (pbrinit/wire/password_hash.py).
PASSWORDS = Path("/usr/lib/x86_64-linux-gnu/libcrypt.so.1")
LOADER = Path("/lib64/ld-linux-x86-64.so.2")


def main(checkout: Path, root: Path) -> None:
    """Make the new root.  Ends with a message where the modules are not those that are allowed."""
    library = Path(sysconfig.get_path("stdlib"))
    search = [checkout, library, library / "lib-dynload"]
    cuts = import_closure.read_cuts(Path(__file__).with_name("import_cuts.toml"))
    boot = import_closure.find([*ENTRIES, *IMPLICIT], "pbrinit", search, cuts)
    # It must do without the modules that its library imports late: all would be nine megabytes.
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
    """Whether PID 1 may import this module of ours."""
    return name in SHIPPED or name.startswith(("pbrinit.boot.", "pbrinit.wire."))


def _check(boot: import_closure.Closure, control: import_closure.Closure) -> None:
    strangers = [
        module.name
        for module in boot.modules
        if module.name.partition(".")[0] in ("pbrinit", "factory") and not is_shipped(module.name)
    ]
    if strangers:
        sys.exit(f"the boot path imports {', '.join(strangers)}, which PID 1 must not import")
    missing = dict.fromkeys((*boot.missing, *control.missing))
    if missing:
        sys.exit("the image has no such module: " + "; ".join(missing))


def _compile(source: Path, name: Path, target: Path) -> None:
    """Compile a module to bytecode that is not checked against its source, since the image has
    none.
    """
    py_compile.compile(
        str(source),
        cfile=str(target),
        dfile=str(name),
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _needed(path: Path) -> list[Path]:
    """The loader, and the libraries that it would load for `path` (ld.so(8), --list)."""
    listing = subprocess.run(
        [LOADER, "--list", path], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return [LOADER, *(Path(line.split()[2]) for line in listing.splitlines() if "=>" in line)]


def _copy(path: Path, root: Path) -> None:
    """Copy a file into the new root, under its own name, to the folder that its path leads to."""
    target = root / (path.parent.resolve() / path.name).relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
