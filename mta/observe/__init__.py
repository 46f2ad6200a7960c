"""What people and machines see of us: log lines and metrics."""
