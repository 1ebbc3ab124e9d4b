"""The wire: JSON-RPC without I/O, connections, sessions of a CodeBeaker server, and the embedded server's start."""
