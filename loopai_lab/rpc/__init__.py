"""The wire: JSON-RPC without I/O, connections on websockets, sessions of a CodeBeaker server, and the embedded server's start."""
