"""Takes batches of events: checked, appended to the log, acknowledged when they are durable."""
