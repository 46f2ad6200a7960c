"""What API, dashboard and command line share: looking at the queue."""
