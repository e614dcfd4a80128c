"""The HTTP face of a node: parses requests, and turns answers into responses. Decides nothing."""
