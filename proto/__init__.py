"""What both daemons must agree on: kinds, messages, subjects, the bus; no behaviour beyond that."""
