"""Everything a hostile peer and a hostile program would try, on the shipped image."""
