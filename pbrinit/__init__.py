"""pbrinit: one policy file in, one machine out that policy routing filters."""
