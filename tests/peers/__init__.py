"""Programs that others wrote, as clients of ours, and as the next hop."""
