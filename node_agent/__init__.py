"""The agent of one Docker host: makes what runs there what its assignment says, and reports it."""
