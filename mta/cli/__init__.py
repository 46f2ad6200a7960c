"""The command line ``mta``, and the entry modules of its processes."""
