"""Learning agents: networks, critics, actors, one update, and the table of algorithms."""
