"""Who hears what: one pipeline a file, checked by the type checker, when it is made and at boot."""
