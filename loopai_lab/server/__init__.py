"""The embedded CodeBeaker-compatible server: the other side of the wire. It knows `rpc` and `errors`, no more of us."""
