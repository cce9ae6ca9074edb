"""Hands that nobody had to record: a hand model, its motion, and depth images of both."""
