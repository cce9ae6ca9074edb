"""The compact networks of the shipped weights, and their losses."""
