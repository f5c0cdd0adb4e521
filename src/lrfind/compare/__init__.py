"""Compared runs: what training gave at one learning rate."""
