"""Readers of survey data: every layout behind `base.Reader`."""
