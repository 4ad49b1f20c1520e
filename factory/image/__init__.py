"""The image: its base by mkosi, the import closure, archives, the disk."""
