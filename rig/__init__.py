"""Drives a real daemon on a sandbox: what the demo, the benchmarks and the end-to-end tests have in common."""
