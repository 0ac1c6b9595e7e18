"""Measurements that checks ask for: one module for each kind of probe."""
