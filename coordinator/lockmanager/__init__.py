"""Quorum locks with fencing tokens and a fair line."""
