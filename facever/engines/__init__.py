"""Where photographs are embedded besides this machine's processes: a Ray cluster.

paths, URIs --manifest--> (id, path, stamp) --Ray Data--> a row per photograph --blocks--> rows of the dataset
"""
