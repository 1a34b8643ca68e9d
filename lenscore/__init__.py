"""Find strong gravitational lenses, and other rare objects, in survey images with self-supervised learning."""

__version__ = "0.1.0"
