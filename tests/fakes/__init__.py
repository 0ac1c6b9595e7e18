"""Stand-ins for the outside world, which pass the same contract tests as the real adapters."""
