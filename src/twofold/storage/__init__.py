"""What lies on disk: whole files with checksums, locks, names of any bytes."""
