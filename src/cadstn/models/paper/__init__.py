"""The five networks of the paper, layer for layer, and their losses."""
