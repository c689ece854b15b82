"""What can be typed: each module declares a group of commands; `verbs` does the work."""
