"""What both daemons must agree on: kinds, messages, subjects and the bus; no behaviour beyond that."""
