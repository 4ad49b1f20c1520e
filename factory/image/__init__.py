"""The image: the base by mkosi, the import closure, the archive, the disk."""
