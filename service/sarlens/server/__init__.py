"""The server: sockets, signals, drain, and several processes."""
