"""What may be wrong with an installation, each thing a small check that looks and changes nothing."""
