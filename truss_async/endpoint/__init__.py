"""What the commands do for those who write a webhook endpoint: stand in for it, and try it."""
