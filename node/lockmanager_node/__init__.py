"""A lock node: one of several identical servers that grant leases."""
