"""The demonstration: workers in two processes contend for one lock while a node dies and a worker oversleeps."""
