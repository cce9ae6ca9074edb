"""Hands that nobody had to record: a hand model, its motion, and depth images of both."""

#: Names what a seed renders. A crop cache of another one is rendered anew, so it changes with the
#: simulator and not with every release.
SIMULATOR = "0.1.0"
