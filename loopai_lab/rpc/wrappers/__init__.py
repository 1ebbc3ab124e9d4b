"""Programs around the user's program, sent as text to servers that only know how to run code; never imported here."""
