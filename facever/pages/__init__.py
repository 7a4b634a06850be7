"""Pages that stand alone: one HTML file, its pictures inside, no script, no request to anywhere."""
