"""The SMTP door: listening sockets, and the session behind each of them."""
