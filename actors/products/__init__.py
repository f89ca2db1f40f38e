"""Products of shops: their pages are read, and changes of price are told."""
