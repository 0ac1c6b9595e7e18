"""One outside thing per module; each translates that thing's failures into `reconciler.errors`."""
