"""Cameras, skeletons and label maps, crops: geometry in millimetres, NumPy only."""
