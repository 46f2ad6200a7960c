"""The outbound network: names, sockets, sessions, and one attempt over them."""
