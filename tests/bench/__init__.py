"""What the cluster achieves on this machine, beside what it should: ``python -m tests.bench``."""
