"""`lockmanager bench`: how fast a cluster is for one client, measured with locks that are in nobody's way."""
