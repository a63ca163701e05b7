"""Where files go: a local disk, an object store, or a spool before any other file system."""
