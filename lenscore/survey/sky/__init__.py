"""A simulated sky: the same universe seen by two releases, with lenses, look-alikes, groups and bad data.

The pieces, in the order in which they are used: config -> block (bricks, imaging, population, deflectors) ->
catalogue (what a release publishes, and the truth) -> render (optics, structures, arcs).
"""
