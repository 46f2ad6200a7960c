"""Mail servers of others as our next hops, each a private one with mailboxes."""
