"""Our server's dialogue against the letter of the RFCs, over real sockets."""
