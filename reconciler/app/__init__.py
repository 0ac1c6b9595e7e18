"""What runs: observe, plan, execute, again and again, for every app by itself."""
