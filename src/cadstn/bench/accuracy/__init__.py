"""How accurate exported weights are: on rendered recordings, and on real ones without labels."""
