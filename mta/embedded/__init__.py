"""Everything on one machine: find, start, watch and stop the processes."""
