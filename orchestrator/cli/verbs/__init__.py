"""What the commands do, on a cluster that is connected; imported when called."""
