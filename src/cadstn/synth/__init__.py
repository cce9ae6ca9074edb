"""Hands that nobody had to record: a hand model, its motion, and depth images of both."""

#: Names what a seed renders. Crop caches, recordings and sets of another one are not gone on with,
#: so it changes with the simulator and not with every release; a test pins what it names.
SIMULATOR = "0.1.0"
