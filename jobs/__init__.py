"""The jobs: one module each, with its VERSION, config and run(). specs.py lists them all."""
