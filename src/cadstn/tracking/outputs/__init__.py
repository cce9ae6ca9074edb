"""Tracked hands as other programs take them: robot hands, OSC and UDP, LeRobot data sets."""
