"""What only the end-to-end tests need; the rest of their tools are in `rig`."""
