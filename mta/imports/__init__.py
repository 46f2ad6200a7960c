"""Configurations of other systems, turned into a zones.yaml and a report."""
