"""The Debian archive: indexes, packages, mirrors."""
